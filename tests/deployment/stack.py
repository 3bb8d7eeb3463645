"""The template as CloudFormation sees it: parsed, and with SAM's part carried out."""

import copy
from pathlib import Path

from samtranslator.translator.transform import transform as carry_out
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
CODE = "s3://code/heartbeat.zip"


class NoManagedPolicies:
    """SAM asks for the account's managed policies; the template uses none."""

    def load(self):
        return {}


def read():
    """The template as it is written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


def transform(template):
    """A template in plain CloudFormation; the one given is left alone."""
    template = copy.deepcopy(template)
    template["Resources"]["HeartbeatFunction"]["Properties"]["CodeUri"] = CODE
    return carry_out(template, {}, NoManagedPolicies())


def of_type(stack, kind):
    """The properties of all resources of a type, by logical id."""
    resources = stack["Resources"].items()
    return {name: resource.get("Properties", {}) for name, resource in resources if resource["Type"] == kind}


def sole(values):
    """The only one there is."""
    (value,) = values
    return value
