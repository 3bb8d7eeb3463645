#!/usr/bin/env python3
"""Deploys the stack without a question: `make deploy`.

    make deploy [ENV=staging] [SET="LogLevel=DEBUG Limits='disk_percent=80' WebhookUrls"] [ARCHITECTURE=arm64]
    EMAIL=me@example.org PHONE=ntfy PAGE=on make deploy
    make enroll HOST="root@web-1 root@web-2"
    make open

Checks samconfig.toml, the credentials and the stack, writes samconfig.toml if it lacks this environment, builds the
functions and what the next steps need, deploys, sends a test message, and prints what to do next. `make enroll` runs
`heartbeatctl enroll` for the stack, `make open` opens its page, and `make example` prints a command that sends a
heartbeat.
"""

import base64
import contextlib
import functools
import getpass
import hashlib
import json
import os
import platform
import re
import secrets
import shlex
import struct
import subprocess
import sys
import tempfile
import textwrap
import webbrowser
import zoneinfo
from pathlib import Path

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.exceptions import SamConfigFileReadException, SamConfigVersionException
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_parse

BUILD = Path(".aws-sam/build")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
CTL = TARGET / "tools-release/heartbeatctl"
CONFIG = Path("samconfig.toml")
# The options of SAM in each environment that `Environment.write` adds to it.
WRITTEN = {"stack_name", "region", "resolve_s3", "capabilities", "parameter_overrides"}
MACHINES = {62: "x86_64", 183: "arm64"}
RUST_TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
HERE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
# The oldest C library that Rust supports: that of 2012.
GLIBC = "2.17"
DEFAULT_ENVIRONMENT = "default"
STACK = "heartbeat"
SIGN_IN = "Sign in as for the AWS CLI (aws login, aws sso login, AWS_PROFILE, …)"
EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
# The name of the log group of each function but the heartbeats': `/aws/lambda/heartbeat-page` is that of the page of the stack
# `heartbeat`, and would be that of the heartbeats of a stack `heartbeat-page`.
LOG_GROUP = r"/aws/lambda/\$\{AWS::StackName\}-([a-z]+)"
# A stack in one of these cannot be updated.
DEAD = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}


class Environment:
    """A deployment that samconfig.toml describes: its stack, its region, and the parameters that it sets."""

    def __init__(self, name):
        self.name = name
        self.section = f"[{name}.deploy.parameters]"
        config = read_config()
        # Whether samconfig.toml has this environment.
        self.is_known = "parameters" in config.document.get(name, {}).get("deploy", {})
        values = config.get_all(["deploy"], "parameters", name) if self.is_known else {}
        self.check_options(values)
        self.stack = values.get("stack_name", STACK if name == DEFAULT_ENVIRONMENT else f"{STACK}-{name}")
        self.region = self.choose_region(values.get("region"))
        self.parameters = self.read_parameters(values.get("parameter_overrides", ""))

    def choose_region(self, of_file):
        asked = os.environ.get("AWS_REGION")
        if of_file and asked and asked != of_file:
            sys.exit(
                f"{self.place('region')}: this environment is deployed to {of_file}, but AWS_REGION is {asked}. Unset "
                f"AWS_REGION, or deploy a second stack with a name of its own: make deploy ENV=…"
            )
        return of_file or asked or default_region()

    def check_options(self, values):
        """Stops if the section has a name that `sam deploy` would ignore."""
        # To ask SAM takes more than a second.
        if values.keys() <= WRITTEN:
            return
        from samcli.commands.deploy.command import cli

        options = {parameter.name for parameter in cli.params}
        for name in values:
            if name not in options:
                sys.exit(f"{self.place(name)}: sam deploy has no option {name!r}.")

    def read_parameters(self, overrides):
        try:
            parameters = CfnParameterOverridesType().convert((overrides,), None, None)
        except click.BadParameter:
            # SAM's message has the values.
            sys.exit(f"{self.place('parameter_overrides')}: it is not a valid format, which is <parameter>=<value> …")
        for name, value in parameters.items():
            check_parameter(name, value, self.place(name))
        return parameters

    def place(self, name):
        """Where samconfig.toml sets this name in this environment."""
        is_inside = False
        found = None
        for number, line in enumerate(CONFIG.read_text().splitlines(), 1):
            if header := re.match(r"\s*\[([^\]]+)\]", line):
                is_inside = f"{header[1]}.".startswith(f"{self.name}.deploy.parameters.")
            elif is_inside and re.match(rf"\s*[\"']?({re.escape(name)}|parameter_overrides)[\"']?\s*=", line):
                found = number
        return f"{CONFIG}, line {found}" if found else f"{CONFIG}, {self.section}"

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

    def outputs(self):
        stack = self.deployed()
        if stack is None:
            sys.exit(f"There is no stack {self.stack} in {self.region}. Deploy it: make deploy")
        return outputs_of(stack)

    def variables(self):
        """The environment of a program that works on this stack."""
        return os.environ | {"AWS_REGION": self.region}

    def write(self, known):
        """Adds this environment to samconfig.toml, with these parameters."""
        values = "".join(f'{name} = "{value}"\n' for name, value in known.items() if value)
        text = f"""\
# `make deploy` wrote this, and reads it. A parameter without a line keeps the value that the stack has, or gets the
# template's default when the stack is created.
{self.section}
stack_name = "{self.stack}"
region = "{self.region}"
resolve_s3 = true
capabilities = "CAPABILITY_IAM"

[{self.name}.deploy.parameters.parameter_overrides]
{values}"""
        for name, parameter in template()["Parameters"].items():
            if not known.get(name):
                words = textwrap.wrap(parameter["Description"], 115)
                text += "\n" + "".join(f"# {line}\n" for line in words)
                text += f'# {name} = "{parameter["Default"]}"\n'
        if CONFIG.exists():
            text = f"{CONFIG.read_text().rstrip()}\n\n{text}"
        else:
            text = f"version = 0.1\n\n{text}"
        CONFIG.write_text(text)
        print(f"Wrote the environment {self.name} to {CONFIG}.")


def outputs_of(stack):
    return {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", [])}


def environment_name(given):
    """The name of an environment. For some shells, ENV is the path of a file that they read at their start."""
    name = DEFAULT_ENVIRONMENT if "/" in given or not given else given
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        sys.exit(f"ENV cannot be {name!r}. It is lower-case letters, digits and hyphens.")
    return name


def read_config():
    try:
        return SamConfig(Path.cwd())
    except (SamConfigFileReadException, SamConfigVersionException) as error:
        sys.exit(f"{CONFIG} cannot be read: {one_line(str(error.__cause__ or error))}")


def default_region():
    """The region of the AWS CLI."""
    try:
        region = boto3.Session().region_name
    except ProfileNotFound as error:
        sys.exit(f"{error}.")
    return region or sys.exit(
        "No region: set AWS_REGION in this shell, for example `export AWS_REGION=eu-central-1`, and type the command again."
    )


@functools.cache
def template():
    return yaml_parse(Path("template.yaml").read_text())


def check_credentials(environment):
    """Stops in words that a person understands, before anything is built; returns the account."""
    account = environment.client("sts").get_caller_identity()["Account"]
    print(f"Account {account}, region {environment.region}, stack {environment.stack}.")
    return account


def explain(error):
    """An error of AWS in words that a person understands."""
    if isinstance(error, NoCredentialsError):
        return f"There are no AWS credentials. {SIGN_IN}."
    if not isinstance(error, ClientError):
        return f"AWS cannot be reached with these credentials: {error}"
    code = error.response["Error"]["Code"]
    if code in EXPIRED:
        return f"The AWS credentials have expired or are not valid. {SIGN_IN} again."
    return f"AWS rejects the call: {error}"


def check_stack(environment, stack):
    """Stops if CloudFormation would reject an update."""
    status = stack["StackStatus"] if stack else ""
    where = f"--stack-name {environment.stack} --region {environment.region}"
    if status in DEAD:
        sys.exit(
            f"The stack {environment.stack} is in {status}, and cannot be updated. Delete it first; its tables stay, see "
            f"docs/recover.md:\n  aws cloudformation delete-stack {where}\n"
            f"  aws cloudformation wait stack-delete-complete {where}"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        sys.exit(f"The stack is in {status}:\n  aws cloudformation continue-update-rollback {where}")
    if status.endswith("_IN_PROGRESS"):
        sys.exit(f"The stack {environment.stack} is in {status}. Wait until CloudFormation is done with it.")


def check_name(environment):
    """Stops before a new stack whose log group is that of a function of the first stack."""
    functions = re.findall(LOG_GROUP, Path("template.yaml").read_text())
    if environment.stack in [f"{STACK}-{function}" for function in functions]:
        sys.exit(
            f"ENV cannot be {environment.name!r}: the log group of a stack {environment.stack} is that of a function of the "
            f"stack {STACK}."
        )


def reserve_concurrency(environment, parameters, of_stack):
    """A function URL has no throttle by rate: it admits ten requests a second for each concurrent invocation that is reserved. Stops
    before SAM does if the account has too few."""
    wanted = {name: str(parameter["Default"]) for name, parameter in template()["Parameters"].items()} | of_stack | parameters
    if wanted["Front"] != "api" and "ReservedConcurrency" not in parameters:
        parameters["ReservedConcurrency"] = wanted["ReservedConcurrency"] = str(-(-int(wanted["ThrottleRate"]) // 10))
    needed = reserved(wanted)
    if not needed:
        return
    try:
        limit = environment.client("lambda").get_account_settings()["AccountLimit"]
    except ClientError:
        # Nobody needs this permission for anything else.
        return
    # Lambda keeps 100 for the functions that reserve nothing, and so for the page.
    free = limit["UnreservedConcurrentExecutions"] + reserved(of_stack) - 100
    if needed > free:
        sys.exit(
            f"The account has too little concurrency in {environment.region}: {limit['ConcurrentExecutions']} in all, of which the "
            f"stack can reserve {max(free, 0)}, and it needs {needed}. Ask for more, which takes AWS some hours or days:\n"
            f"  aws service-quotas request-service-quota-increase --region {environment.region} --service-code lambda "
            f"--quota-code L-B99A9384 --desired-value {max(1000, limit['ConcurrentExecutions'] + needed)}"
        )


def reserved(parameters):
    """How many concurrent invocations the stack reserves with these parameters."""
    values = [parameters.get(f"{name}ReservedConcurrency", "none") for name in ("", "Page")]
    function, page = (0 if value == "none" else int(value) for value in values)
    return function + page + (function > 0 and parameters.get("OfflineAfterSeconds") != "0")


def given_parameters(text):
    """The parameters of SET, each checked against the template. Of a secret, SET has the name only."""
    try:
        entries = shlex.split(text)
    except ValueError as error:
        sys.exit(f"SET: {error}.")
    given = {}
    for number, entry in enumerate(entries, 1):
        name, equals, value = entry.partition("=")
        parameter = check_name_of(name, f"SET, entry {number}")
        if parameter.get("NoEcho") and value != parameter["Default"]:
            if equals:
                sys.exit(
                    f"SET: {name} is a secret, and everybody on this machine can read a command line. Give only its name, and "
                    f"its value when asked for it, or on standard input: make deploy SET={name}"
                )
            value = read_secret(name)
        elif not equals:
            sys.exit(f"SET: {name} is not <parameter>=<value>.")
        check_parameter(name, value, "SET")
        given[name] = value
    return given


def read_secret(name):
    """Reads a value without an echo from a terminal, or else as the next line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{name}, which is not shown: ").strip()
    return sys.stdin.readline().strip() or sys.exit(f"SET: standard input has no line for {name}.")


def check_name_of(name, place):
    """The parameter of the template. What is none may be a part of a secret that was not quoted, so it is not shown."""
    known = template()["Parameters"]
    return known.get(name) or sys.exit(f"{place}: there is no such parameter. The parameters are: {', '.join(known)}.")


def check_parameter(name, value, place):
    """Stops if CloudFormation or SAM would drop or reject this. No value is shown."""
    check_name_of(name, place)
    check_value(name, value, place)
    if '"' in value or "\\" in value:
        sys.exit(f"{place}: {name} must not contain a quotation mark or a backslash.")


def check_value(name, value, place):
    parameter = template()["Parameters"][name]
    allowed = [str(each) for each in parameter.get("AllowedValues", [])]
    least, most = parameter.get("MinValue"), parameter.get("MaxValue")
    is_number = parameter["Type"] == "Number"
    is_valid = (
        (not allowed or value in allowed)
        and re.fullmatch(parameter.get("AllowedPattern", ".*"), value)
        and (not is_number or re.fullmatch(r"-?[0-9]+", value))
        and (least is None or int(value) >= least)
        and (most is None or int(value) <= most)
        and len(value) <= parameter.get("MaxLength", len(value))
    )
    if is_valid:
        return
    what = parameter.get("ConstraintDescription") or ", ".join(allowed)
    if not what:
        bounds = [f"of at least {least}"] * (least is not None) + [f"of at most {most}"] * (most is not None)
        what = " ".join(["a whole number", " and ".join(bounds)])
    if len(value) > parameter.get("MaxLength", len(value)):
        what += f", of at most {parameter['MaxLength']} characters"
    sys.exit(f"{place}: {name} cannot have this value. It is {what}.")


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


def run(*command, is_quiet=False):
    """Runs a command. The output of one that is quiet is shown only if it fails."""
    print(f"$ {shlex.join(command)}", flush=True)
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if is_quiet else {}
    done = subprocess.run(command, **quiet)
    if done.returncode:
        sys.stdout.flush()
        sys.stdout.buffer.write(done.stdout or b"")
        raise subprocess.CalledProcessError(done.returncode, command)


def build_functions(architecture):
    """Builds twice: SAM hides what cargo says, so cargo builds first. For SAM, nothing is left to compile."""
    target = ["--arm64"] if architecture == "arm64" else []
    run("cargo", "lambda", "build", "--release", *target)
    run("sam", "build", "--parameter-overrides", f"Architecture={architecture}", is_quiet=True)


def build_programs():
    """Builds heartbeatctl for this machine, and the agent for the machines that it enrolls."""
    run("cargo", "build", "--profile", "tools-release", "--locked", "--package", "heartbeatctl")
    for architecture, target in RUST_TARGETS.items():
        if architecture == HERE or has_target(target):
            run("cargo", "zigbuild", *program_build("heartbeat-agent", "agent", target))
        else:
            print(f"Left out: the agent for {architecture}. To build it, too: rustup target add {target}", flush=True)


def program_build(program, profile, target):
    """The arguments of a build for any Linux that is not older than its C library."""
    return ["--profile", profile, "--locked", "--package", program, "--target", f"{target}.{GLIBC}"]


def has_target(target):
    """Whether Rust's standard library is installed for it."""
    shown = subprocess.run(["rustc", "--print", "target-libdir", "--target", target], capture_output=True, text=True)
    return shown.returncode == 0 and Path(shown.stdout.strip()).is_dir()


@contextlib.contextmanager
def overrides(parameters):
    """The arguments of SAM's --parameter-overrides. Secrets are in a file, because everybody sees a command line."""
    known = template()["Parameters"]
    secrets = {name: value for name, value in parameters.items() if known[name].get("NoEcho")}
    shown = [f'{name}="{value}"' for name, value in parameters.items() if name not in secrets]
    if not secrets:
        yield shown
        return
    # Only its owner can read it. JSON is YAML, and SAM reads only the latter.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(secrets, file)
        file.flush()
        yield [*shown, f"file://{file.name}"]


class Unsaid:
    """What only this deployment can say, in a file until it is said: the topic, and the password of the page. So a deployment that
    SAM or its user ends early loses neither, and the next one goes on with them."""

    def __init__(self, environment, account):
        # .gitignore has samconfig.toml and whatever follows.
        self.file = CONFIG.with_name(f"{CONFIG}.{account}.{environment.region}.{environment.stack}.secrets")
        self.values = json.loads(self.file.read_text()) if self.file.exists() else {}

    def keep(self, **values):
        self.values = {name: value for name, value in values.items() if value}
        self.file.unlink(missing_ok=True)
        if self.values:
            with open(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(self.values, file)

    @contextlib.contextmanager
    def until_deployed(self):
        """Says where they are if SAM does not end well. If it does, no deployment takes them up again."""
        try:
            yield
        except BaseException:
            if self.values:
                print(f"{self.file} keeps {self.words()}. The next `make deploy` goes on with it.", flush=True)
            raise
        if self.values:
            self.file = self.file.rename(f"{self.file}.deployed")

    @contextlib.contextmanager
    def until_said(self, can_say_all):
        try:
            yield
        except BaseException:
            can_say_all = False
            raise
        finally:
            if self.values and can_say_all:
                self.file.unlink()
            elif self.values:
                print(f"{self.file} has {self.words()}. Read it, and delete it.", flush=True)

    def words(self):
        return " and ".join({"topic": "the topic", "password": "the password of the page"}[name] for name in self.values)


class Phone:
    """PHONE=ntfy: a topic that announcements go to. Whoever knows its name can read them, so nobody chooses it."""

    def __init__(self, outputs, parameters, topic):
        asked = os.environ.get("PHONE", "")
        if asked not in ("", "ntfy"):
            sys.exit("PHONE cannot have this value. It is ntfy.")
        known = parameters.get("WebhookUrls", "none")
        # The URLs themselves cannot be read from the stack.
        has_some = known != "none" or "NotifyLogName" in outputs
        self.topic = None
        if topic and known == "none":
            self.topic = topic
        elif asked and has_some:
            print("PHONE: announcements go to WebhookUrls already, which stay as they are.")
        elif asked:
            self.topic = f"heartbeat-{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"
        self.url = f"https://ntfy.sh/{self.topic}" if self.topic else None

    def parameters(self):
        return {"WebhookUrls": f"ntfy:{self.url}"} if self.url else {}

    def words(self):
        # The log of a workflow is no place for it.
        if not self.url or not sys.stdout.isatty():
            return []
        return [
            "Your phone: install the app ntfy, and subscribe to this topic. Its name is a password.",
            f"  {self.topic}    {self.url}",
        ]


class Page:
    """PAGE=on: the page for the phone, and a password that is shown once, on a terminal."""

    def __init__(self, outputs, parameters, password):
        asked = os.environ.get("PAGE", "")
        if asked not in ("", "on"):
            sys.exit("PAGE cannot have this value. It is on.")
        self.password = None
        is_given = parameters.get("PagePasswordSha256", "none") != "none"
        if password and not is_given:
            self.password = password
        elif asked and ("PageUrl" in outputs or is_given):
            print("PAGE: the page has a password already, which stays. `heartbeatctl page password` makes another.")
        elif asked and not sys.stdout.isatty():
            sys.exit(
                "PAGE=on shows a password, and this is not a terminal. Make one with `heartbeatctl page password`, and "
                "give its digest on standard input: make deploy SET=PagePasswordSha256"
            )
        elif asked:
            # 100 bits, in groups that can be typed. Base32 has none of the digits that are mistaken for letters.
            text = base64.b32encode(secrets.token_bytes(15)).decode().lower()[:20]
            self.password = "-".join(text[start : start + 5] for start in range(0, 20, 5))

    def parameters(self):
        digest = hashlib.sha256((self.password or "").encode()).hexdigest()
        return {"PagePasswordSha256": digest} if self.password else {}

    def words(self, outputs):
        if "PageUrl" not in outputs:
            return []
        is_shown = self.password and sys.stdout.isatty()
        password = [f"  its password, which is shown only now: {self.password}"] if is_shown else []
        return [f"The page: {outputs['PageUrl']}", *password]


def deploy(environment):
    given = given_parameters(os.environ.get("SET", ""))
    if wanted := os.environ.get("ARCHITECTURE"):
        check_parameter("Architecture", wanted, "ARCHITECTURE")
        given["Architecture"] = wanted
    asked_email = os.environ.get("EMAIL", "")
    if asked_email:
        check_parameter("AlarmEmail", asked_email, "EMAIL")
    email = "" if environment.is_known else asked_email
    account = check_credentials(environment)
    stack = environment.deployed()
    check_stack(environment, stack)
    if stack is None:
        check_name(environment)
    of_stack = {each["ParameterKey"]: each.get("ParameterValue") for each in (stack or {}).get("Parameters", [])}
    # What is asked for, what the file says, what the stack has, what this machine is.
    parameters = {"Architecture": of_stack.get("Architecture", HERE)} | environment.parameters | given
    architecture = parameters["Architecture"]
    had = outputs_of(stack)
    unsaid = Unsaid(environment, account)
    phone = Phone(had, parameters, unsaid.values.get("topic"))
    page = Page(had, parameters, unsaid.values.get("password"))
    for name, value in (phone.parameters() | page.parameters()).items():
        check_parameter(name, value, "PHONE" if name == "WebhookUrls" else "PAGE")
        parameters[name] = value
    webhooks_before = webhook_urls(environment, had, of_stack)
    reserve_concurrency(environment, parameters, of_stack)
    if not environment.is_known:
        zone = machine_zone() if stack is None else None
        of_file = {"Architecture": architecture, "AlarmEmail": email, "TimeZone": zone}
        for name, value in of_file.items():
            if value:
                parameters.setdefault(name, value)
        environment.write(of_file)
    run("sam", "validate", "--lint", "--region", environment.region, is_quiet=True)
    build_functions(architecture)
    check_architecture(architecture)
    build_programs()
    options = ["--stack-name", environment.stack, "--region", environment.region, "--config-env", environment.name]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    unsaid.keep(topic=phone.topic, password=page.password)
    with overrides(parameters) as arguments, unsaid.until_deployed():
        run("sam", "deploy", *options, "--parameter-overrides", *arguments)
    with unsaid.until_said(can_say_all=sys.stdout.isatty()):
        outputs = environment.outputs()
        print("\n".join(["", f"Deployed: {outputs['HeartbeatUrl']}", *phone.words(), *page.words(outputs)]), flush=True)
    # Whenever somebody new is to be notified, and not at each deployment.
    is_new = parameters.get("WebhookUrls", "none") not in ("none", webhooks_before)
    if stack is None or phone.url or is_new or given.keys() & {"AlarmEmail", "WebhookUrls"}:
        send_test(environment)
    if "NotifyLogName" in had and "NotifyLogName" not in outputs:
        forget_webhooks(environment, outputs)
    steps = who_hears(environment, outputs["AlertTopicArn"], of_stack.get("AlarmEmail"), "" if email else asked_email)
    if stack and "TimeZone" not in of_stack and of_stack.get("DigestAt") == "none" and "DigestAt" not in parameters:
        # A stack keeps its values, so whoever updates it has to be told once.
        steps += ["New: what is still wrong is said at breakfast, in your time zone. This stack keeps what it has, until it is told:"]
        steps += [f'  make deploy{env_of(environment)} SET="DigestAt=08:00 TimeZone={machine_zone() or "UTC"}"']
    print("\n".join(steps + next_steps(environment, outputs, is_new=stack is None)))


def webhook_urls(environment, had, of_stack):
    """The webhooks that the stack has: CloudFormation hides them, but not from itself. None if they are not known."""
    hidden = of_stack.get("WebhookUrls", "none")
    if set(hidden) != {"*"} or "NotifyFunctionName" not in had:
        return hidden
    with contextlib.suppress(ClientError):
        function = environment.client("lambda").get_function_configuration(FunctionName=had["NotifyFunctionName"])
        return function["Environment"]["Variables"]["WEBHOOK_URLS"]


def forget_webhooks(environment, outputs):
    """Nobody else removes what is known of webhooks that are no more, and nothing reaches them."""
    key = {"server_id": {"S": "#notify"}}
    environment.client("dynamodb").delete_item(TableName=outputs["ServersTableName"], Key=key)


def send_test(environment):
    """Sends a test to all who are notified, and shows who they are. It fails as long as there is nobody."""
    print("A test message goes to:", flush=True)
    with contextlib.suppress(OSError):
        subprocess.run([CTL, "--stack", environment.stack, "notify", "test"], env=environment.variables())


def machine_zone():
    """The name of this machine's time zone; None if that is UTC, the default, or not known."""
    place = os.environ.get("TZ", "").removeprefix(":") or os.path.realpath("/etc/localtime")
    name = place.rpartition("zoneinfo/")[2]
    is_zone = name in zoneinfo.available_timezones() and re.fullmatch(template()["Parameters"]["TimeZone"]["AllowedPattern"], name)
    return name if is_zone and name not in ("UTC", "Etc/UTC") else None


def env_of(environment):
    """What make has to be told about it."""
    return "" if environment.name == DEFAULT_ENVIRONMENT else f" ENV={environment.name}"


def next_steps(environment, outputs, is_new):
    stack, env = environment.stack, env_of(environment)
    steps = []
    if is_new:
        where = f"--stack-name {stack} --region {environment.region}"
        steps += ["Keep agents from losing their URL, which belongs to this stack:"]
        steps += [f"  aws cloudformation update-termination-protection --enable-termination-protection {where}"]
        steps += ["Install the agent on a server, with a key of its own:", f"  make enroll{env} HOST=root@web-1"]
        if "PageUrl" in outputs:
            steps += ["Look at the page:", f"  make open{env}"]
        steps += ["Use heartbeatctl for the rest:"]
        steps += [f"  export AWS_REGION={environment.region} HEARTBEAT_STACK={stack}", f"  {CTL} fleet"]
    return steps


def who_hears(environment, topic, address, another):
    """What is missing until somebody hears of alarms and offline servers; `address` is what the stack had before, `another` is an
    EMAIL that came too late to be its own."""
    listed = environment.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    pending = [each["Endpoint"] for each in listed if each["SubscriptionArn"] == "PendingConfirmation"]
    endpoints = [each["Endpoint"] for each in listed]
    subscribe = f"  aws sns subscribe --region {environment.region} --topic-arn {topic} --protocol email --notification-endpoint"
    steps = []
    if address not in (None, "", "none") and address not in endpoints:
        # SNS forgets an address that was not confirmed within two days, and CloudFormation does not notice.
        steps += [f"{address} is no longer subscribed, or never confirmed. Ask for another mail:"]
        steps += [f"{subscribe} {shlex.quote(address)}"]
    elif not listed and not another:
        steps += ["Nobody hears of alarms and offline servers yet:", '  make deploy SET="AlarmEmail=me@example.org"']
    if another and another not in [address, *endpoints]:
        steps += [f"EMAIL is for the first deployment: {another} is not subscribed. To add it:"]
        steps += [f"{subscribe} {shlex.quote(another)}"]
    if pending:
        steps += [f"Follow the link in the mail to {', '.join(pending)}; before that, no other is sent."]
    return steps


def one_line(text):
    return " ".join(text.split())


def enroll(environment):
    hosts = os.environ.get("HOST", "").split()
    if not hosts:
        sys.exit('HOST is missing: make enroll HOST=root@web-1, or HOST="root@web-1 root@web-2"')
    environment.outputs()
    build_programs()
    # With =, a host that starts with a dash is a host.
    command = [CTL, "--stack", environment.stack, "enroll", *(f"--ssh={host}" for host in hosts)]
    sys.exit(subprocess.run(command, env=environment.variables()).returncode)


def open_page(environment):
    url = environment.outputs().get("PageUrl")
    if not url:
        sys.exit("The stack has no page: PAGE=on make deploy")
    print(url)
    is_graphical = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if is_graphical:
        webbrowser.open(url)


def print_example(environment):
    print(one_line(environment.outputs()["Example"]))


COMMANDS = {"deploy": deploy, "enroll": enroll, "open": open_page, "example": print_example}


def main(name):
    environment = Environment(environment_name(os.environ.get("ENV", "")))
    COMMANDS[name](environment)


if __name__ == "__main__":
    name = " ".join(sys.argv[1:]) or "deploy"
    try:
        main(name)
    except (BotoCoreError, ClientError) as error:
        sys.exit(explain(error))
    except subprocess.CalledProcessError as failure:
        sys.exit(f"Not {'deployed' if name == 'deploy' else 'enrolled'}: {failure.cmd[0]} {failure.cmd[1]} failed.")
    except (EOFError, KeyboardInterrupt):
        sys.exit("Interrupted. If CloudFormation was already at work, it goes on by itself.")
