"""The template as CloudFormation sees it: parsed, and with SAM's transform applied."""

import copy

from local import ROOT
from samtranslator.translator.transform import transform as sam_transform
from samtranslator.yaml_helper import yaml_parse

CODE = "s3://code/heartbeat.zip"
NO_VALUE = {"Ref": "AWS::NoValue"}


class NoManagedPolicies:
    """SAM's translator asks for the account's managed policies; the template uses none."""

    def load(self):
        return {}


def read():
    """The template as written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


def transform(template):
    """The template in plain CloudFormation; the argument is not changed."""
    template = copy.deepcopy(template)
    for name in of_type(template, "AWS::Serverless::Function"):
        template["Resources"][name]["Properties"]["CodeUri"] = CODE
    return sam_transform(template, {}, NoManagedPolicies())


def of_type(stack, kind):
    """The properties of all resources of a type, by logical id."""
    resources = stack["Resources"].items()
    return {name: resource.get("Properties", {}) for name, resource in resources if resource["Type"] == kind}


def resolved(stack, **parameters):
    """A transformed stack with these parameters applied, without the parts that conditions leave out."""
    values = {name: str(parameter.get("Default", "")) for name, parameter in stack["Parameters"].items()} | parameters

    def holds(condition):
        ((function, arguments),) = condition.items()
        match function:
            case "Condition":
                return holds(stack["Conditions"][arguments])
            case "Fn::Equals":
                left, right = (values[side["Ref"]] if isinstance(side, dict) else side for side in arguments)
                return left == right
            case "Fn::Not":
                return not holds(single(arguments))
            case "Fn::And":
                return all(map(holds, arguments))
            case "Fn::Or":
                return any(map(holds, arguments))
        raise ValueError(function)

    def resolve(node):
        match node:
            case {"Fn::If": [condition, yes, no]}:
                return resolve(yes if holds(stack["Conditions"][condition]) else no)
            case dict():
                entries = {key: resolve(value) for key, value in node.items()}
                return {key: value for key, value in entries.items() if value != NO_VALUE}
            case list():
                return [value for value in map(resolve, node) if value != NO_VALUE]
        return node

    def kept(section):
        return {
            name: resolve(entry)
            for name, entry in stack[section].items()
            if "Condition" not in entry or holds({"Condition": entry["Condition"]})
        }

    return {"Parameters": stack["Parameters"], "Resources": kept("Resources"), "Outputs": kept("Outputs")}


def single(values):
    """The only one of these values."""
    (value,) = values
    return value
