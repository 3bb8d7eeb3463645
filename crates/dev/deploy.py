#!/usr/bin/env python3
"""Deploys the stack without a question: `make deploy`.

    make deploy [ENV=staging] [SET="LogLevel=DEBUG Limits='disk_percent=80'"] [ARCHITECTURE=arm64]
    EMAIL=me@example.org make deploy      # the first time

Checks the credentials, writes samconfig.toml if it lacks this environment, builds, checks what the functions are built
for, deploys, and prints what to do next. `make example` prints a command that sends a heartbeat to the stack.
"""

import functools
import os
import platform
import re
import shlex
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_parse

BUILD = Path(".aws-sam/build")
CONFIG = Path("samconfig.toml")
MACHINES = {62: "x86_64", 183: "arm64"}
DEFAULT_ENVIRONMENT = "default"
STACK = "heartbeat"
EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}


class Environment:
    """A deployment that samconfig.toml describes: its stack, its region, and the parameters that it sets."""

    def __init__(self, name):
        self.name = name
        config = SamConfig(Path.cwd())
        # Whether samconfig.toml has this environment.
        self.is_known = config.exists() and "parameters" in config.document.get(name, {}).get("deploy", {})
        values = config.get_all(["deploy"], "parameters", name) if self.is_known else {}
        self.stack = values.get("stack_name", STACK if name == DEFAULT_ENVIRONMENT else f"{STACK}-{name}")
        self.region = os.environ.get("AWS_REGION") or values.get("region") or default_region()
        self.parameters = CfnParameterOverridesType().convert((values.get("parameter_overrides", ""),), None, None)

    def client(self, service):
        return boto3.client(service, region_name=self.region)

    def deployed(self):
        """The stack as it is, or None."""
        try:
            (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return stack if stack["StackStatus"] != "REVIEW_IN_PROGRESS" else None

    def write(self, architecture, email):
        """Adds this environment to samconfig.toml."""
        email = f'AlarmEmail = "{email}"\n' if email else ""
        text = f"""\
# `make deploy` wrote this, and reads it. A parameter without a line keeps the value that the stack has, or gets the
# template's default when the stack is created.
[{self.name}.deploy.parameters]
stack_name = "{self.stack}"
region = "{self.region}"
resolve_s3 = true
capabilities = "CAPABILITY_IAM"

[{self.name}.deploy.parameters.parameter_overrides]
Architecture = "{architecture}"
{email}"""
        for name, parameter in template()["Parameters"].items():
            if name != "Architecture" and not (email and name == "AlarmEmail"):
                words = textwrap.wrap(parameter["Description"], 115)
                text += "\n" + "".join(f"# {line}\n" for line in words)
                text += f'# {name} = "{parameter["Default"]}"\n'
        if CONFIG.exists():
            text = f"{CONFIG.read_text().rstrip()}\n\n{text}"
        else:
            text = f"version = 0.1\n\n{text}"
        CONFIG.write_text(text)
        print(f"Wrote the environment {self.name} to {CONFIG}.")


def environment_name(given):
    """The name of an environment. For some shells, ENV is the path of a file that they read at their start."""
    name = DEFAULT_ENVIRONMENT if "/" in given or not given else given
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        sys.exit(f"ENV cannot be {name!r}. It is lower-case letters, digits and hyphens.")
    return name


def default_region():
    """The region of the AWS CLI."""
    try:
        region = boto3.Session().region_name
    except ProfileNotFound as error:
        sys.exit(f"{error}.")
    return region or sys.exit("No region: set AWS_REGION, for example AWS_REGION=eu-central-1 make deploy.")


@functools.cache
def template():
    return yaml_parse(Path("template.yaml").read_text())


def check_credentials(environment):
    """Stops in words that a person understands, before anything is built."""
    sign_in = "Sign in as for the AWS CLI (aws login, aws sso login, AWS_PROFILE, …)"
    try:
        identity = environment.client("sts").get_caller_identity()
    except NoCredentialsError:
        sys.exit(f"There are no AWS credentials. {sign_in}.")
    except (NoRegionError, BotoCoreError) as error:
        sys.exit(f"AWS cannot be reached with these credentials: {error}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        reason = "have expired or are not valid" if code in EXPIRED else f"are rejected ({code})"
        sys.exit(f"The AWS credentials {reason}. {sign_in} again.")
    print(f"Account {identity['Account']}, region {environment.region}, stack {environment.stack}.")


def given_parameters(text):
    """The parameters of SET, each checked against the template."""
    known = template()["Parameters"]
    given = {}
    for entry in shlex.split(text):
        name, equals, value = entry.partition("=")
        if not equals or name not in known:
            sys.exit(f"SET: {entry!r} is not <parameter>=<value>. The parameters are: {', '.join(known)}.")
        check_value(name, value, known[name])
        given[name] = value
    return given


def check_value(name, value, parameter):
    allowed = [str(each) for each in parameter.get("AllowedValues", [])]
    pattern = parameter.get("AllowedPattern", ".*")
    if (allowed and value not in allowed) or not re.fullmatch(pattern, value):
        what = parameter.get("ConstraintDescription") or ", ".join(allowed)
        sys.exit(f"{name} cannot be {value!r}. It is {what}.")


def override(name, value):
    """A parameter as SAM's --parameter-overrides takes it."""
    if '"' in value or "\\" in value:
        sys.exit(f"{name} must not contain a quotation mark or a backslash.")
    return f'{name}="{value}"'


def machine(bootstrap):
    """The architecture that a program is built for."""
    header = bootstrap.read_bytes()[:20]
    if len(header) < 20 or header[:4] != b"\x7fELF":
        sys.exit(f"{bootstrap} is not a program for Linux.")
    # Byte 5 gives the byte order; e_machine is at offset 18.
    (number,) = struct.unpack_from("<H" if header[5] == 1 else ">H", header, 18)
    return MACHINES.get(number, f"machine {number}")


def check_architecture(architecture):
    """Stops a deployment whose functions are built for a different processor from the one they would run on."""
    bootstraps = sorted(BUILD.glob("*/bootstrap"))
    if not bootstraps:
        sys.exit(f"There is no {BUILD}/*/bootstrap.")
    for bootstrap in bootstraps:
        if (built := machine(bootstrap)) != architecture:
            sys.exit(f"Not deployed: {bootstrap} is built for {built}, but would run on {architecture}.")


def run(*command):
    secrets = [name for name, parameter in template()["Parameters"].items() if parameter.get("NoEcho")]
    hidden = {f"{name}=" for name in secrets}
    shown = [next((f"{start}****" for start in hidden if part.startswith(start)), part) for part in command]
    print(f"$ {shlex.join(shown)}", flush=True)
    if subprocess.run(command).returncode:
        sys.exit(f"Not deployed: {command[0]} {command[1]} failed.")


def build(architecture):
    """Builds twice: SAM hides what cargo says, so cargo builds first. For SAM, nothing is left to compile."""
    target = ["--arm64"] if architecture == "arm64" else []
    run("cargo", "lambda", "build", "--release", *target)
    run("sam", "build", "--parameter-overrides", f"Architecture={architecture}")


def deploy(environment):
    check_credentials(environment)
    stack = environment.deployed()
    given = given_parameters(os.environ.get("SET", ""))
    if wanted := os.environ.get("ARCHITECTURE"):
        given["Architecture"] = wanted
    here = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    of_stack = {each["ParameterKey"]: each.get("ParameterValue") for each in (stack or {}).get("Parameters", [])}
    # What is asked for, what the file says, what the stack has, what this machine is.
    parameters = {"Architecture": of_stack.get("Architecture", here)} | environment.parameters | given
    architecture = parameters["Architecture"]
    if not environment.is_known:
        email = os.environ.get("EMAIL", "")
        if email:
            check_value("AlarmEmail", email, template()["Parameters"]["AlarmEmail"])
            parameters.setdefault("AlarmEmail", email)
        environment.write(architecture, email)
    run("sam", "validate", "--lint", "--region", environment.region)
    build(architecture)
    check_architecture(architecture)
    options = ["--stack-name", environment.stack, "--region", environment.region, "--config-env", environment.name]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    overrides = [override(name, value) for name, value in parameters.items()]
    run("sam", "deploy", *options, "--parameter-overrides", *overrides)
    say_what_is_next(environment, is_new=stack is None)


def say_what_is_next(environment, is_new):
    outputs = outputs_of(environment)
    stack = environment.stack
    steps = []
    if is_new:
        steps += ["Keep agents from losing their URL, which belongs to this stack:"]
        steps += [
            f"  aws cloudformation update-termination-protection --enable-termination-protection --stack-name {stack}"
        ]
        steps += ["Install heartbeatctl, and create the first key:"]
        steps += ["  cargo install --locked --profile tools-release --path crates/heartbeatctl"]
        steps += [f"  API_KEY=$(heartbeatctl --stack {stack} keys add --shared --label first)"]
        steps += ["Send a heartbeat:", f"  {one_line(outputs['Example'])}"]
    sns = environment.client("sns")
    subscriptions = sns.list_subscriptions_by_topic(TopicArn=outputs["AlertTopicArn"])["Subscriptions"]
    if not subscriptions:
        steps += ["Nobody hears of alarms and silent servers yet:", '  make deploy SET="AlarmEmail=me@example.org"']
    pending = [each["Endpoint"] for each in subscriptions if each["SubscriptionArn"] == "PendingConfirmation"]
    if pending:
        steps += [f"Follow the link in the mail to {', '.join(pending)}; before that, no other is sent."]
    print("\n".join(["", f"Deployed: {outputs['HeartbeatUrl']}", *steps]))


def outputs_of(environment):
    stack = environment.deployed()
    if stack is None:
        sys.exit(f"There is no stack {environment.stack} in {environment.region}.")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def one_line(text):
    return " ".join(text.split())


def main():
    environment = Environment(environment_name(os.environ.get("ENV", "")))
    if sys.argv[1:] == ["example"]:
        print(one_line(outputs_of(environment)["Example"]))
    else:
        deploy(environment)


if __name__ == "__main__":
    main()
