"""`make deploy`, from the credentials to what it prints in the end, with a fake SAM and moto's AWS."""

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest
from function import Handler, serving
from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_dump, yaml_parse
from shell import run
from local import ROOT
from stack import of_type, read

FUNCTIONS = sorted(of_type(read(), "AWS::Serverless::Function"))
HOST = "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64"
OTHER = "x86_64" if HOST == "arm64" else "arm64"
TRIPLE = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
COPIED = [
    "Makefile",
    "template.yaml",
    "crates/dev/deploy.py",
]

# `build` writes ELF headers, and `deploy` passes a stack of the same parameters to moto and records its arguments.
SAM = f"""#!{sys.executable}
import json, os, pathlib, re, sys
command, text = sys.argv[1], " ".join(sys.argv)
with open("arguments.log", "a") as log:
    print(sys.argv, file=log)
if command == "build":
    print(os.environ.get("SAYS", ""))
if command == os.environ.get("FAILS"):
    sys.exit(1)
if command == "build":
    asked = re.search(r"Architecture=(\\w+)", text)
    for name in {FUNCTIONS!r}:
        built = os.environ.get(f"BUILT_{{name}}", asked[1])
        folder = pathlib.Path(".aws-sam/build", name)
        folder.mkdir(parents=True, exist_ok=True)
        number = {{"x86_64": 62, "arm64": 183}}[built]
        header = b"\\x7fELF\\x02\\x01".ljust(16, b"\\0") + b"\\3\\0" + number.to_bytes(2, "little")
        (folder / "bootstrap").write_bytes(header)
if command == "deploy" and {{"BEFORE", "AFTER"}} & os.environ.keys():
    pathlib.Path("kept.json").write_text(json.dumps({{
        file.name: [oct(file.stat().st_mode & 0o777), json.loads(file.read_text())] for file in pathlib.Path().glob("*.secrets")
    }}))
if command == "deploy" and os.environ.get("BEFORE") != "expired":
    import boto3
    from samcli.cli.types import CfnParameterOverridesType
    start = sys.argv.index("--parameter-overrides") + 1
    given = CfnParameterOverridesType().convert((sys.argv[start:],), None, None)
    # The file of the secrets is gone afterwards.
    shown = [f'{{name}}="{{value}}"' for name, value in given.items()]
    pathlib.Path("deployed.json").write_text(json.dumps(sys.argv[2:start] + shown))
    option = lambda name: sys.argv[sys.argv.index(name) + 1]
    client = boto3.client("cloudformation", region_name=option("--region"))
    stacks = {{stack["StackName"]: stack["Parameters"] for stack in client.describe_stacks()["Stacks"]}}
    known = json.loads(pathlib.Path("tiny.json").read_text())["Parameters"]
    had = {{each["ParameterKey"] for each in stacks.get(option("--stack-name"), [])}}
    previous = [{{"ParameterKey": name, "UsePreviousValue": True}} for name in known.keys() & had - given.keys()]
    parameters = [{{"ParameterKey": name, "ParameterValue": value}} for name, value in given.items()]
    # CloudFormation remembers defaults; moto does not.
    rest = {{name: str(each["Default"]) for name, each in known.items() if name not in given.keys() | had}}
    defaults = [{{"ParameterKey": name, "ParameterValue": value}} for name, value in rest.items()]
    arguments = dict(StackName=option("--stack-name"), TemplateBody=pathlib.Path("tiny.json").read_text())
    if option("--stack-name") in stacks:
        try:
            client.update_stack(Parameters=parameters + previous + defaults, **arguments)
        except client.exceptions.ClientError as error:
            if "No updates" not in str(error):
                raise
    else:
        client.create_stack(Parameters=parameters + defaults, **arguments)
if command == "deploy" and os.environ.get("AFTER") == "interrupted":
    os.kill(os.getppid(), 2)
    import time
    time.sleep(60)
if command == "deploy" and "expired" in (os.environ.get("BEFORE"), os.environ.get("AFTER")):
    sys.exit(1)
"""


class Project:
    """A folder in which `make deploy` runs as in the real project, with a fake SAM and a fake cargo."""

    def __init__(self, folder, endpoint):
        self.folder = folder
        self.endpoint = endpoint
        tools = folder / "target/tools/bin"
        tools.mkdir(parents=True)
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name, script in {
            "sam": SAM,
            "cargo": '#!/bin/sh\necho "$@" >> cargo.log\n',
            "rustc": '#!/bin/sh\n[ -n "$HAS_TARGET" ] && pwd\n',
            "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
            # For tools.py, which has nothing to install.
            "python3": "#!/bin/sh\n[ $1 = crates/dev/tools.py ]\n",
        }.items():
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        ctl = folder / "target/tools-release/heartbeatctl"
        ctl.parent.mkdir()
        ctl.write_text('#!/bin/sh\necho "$AWS_REGION $@" >> ctl.log\n')
        ctl.chmod(0o755)
        outputs = {"HeartbeatUrl": "https://api/heartbeat", "Example": "curl\n  api", "AlertTopicArn": {"Ref": "Topic"}}
        outputs = {name: {"Value": value} for name, value in outputs.items()}
        for name, parameter in {"NotifyLogName": "WebhookUrls", "PageUrl": "PagePasswordSha256"}.items():
            outputs[name] = {"Value": f"https://{name}", "Condition": f"Has{parameter}"}
        outputs |= {"NotifyFunctionName": {"Value": "notify"}, "ServersTableName": {"Value": "servers"}}
        parameters = read()["Parameters"]
        tiny = {
            "Parameters": parameters,
            "Conditions": {
                f"Has{name}": {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, "none"]}]}
                for name in ("WebhookUrls", "PagePasswordSha256")
            },
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": outputs,
        }
        (folder / "tiny.json").write_text(json.dumps(tiny))

    def make(self, *arguments, is_successful=None, on_terminal=False, stdin="", prompt="", **environment):
        """Runs make; returns its output, and the options of `sam deploy` if it was called, with the parameters that a file
        had at that time. It is successful if it has deployed, unless something else is expected. Input waits for the prompt."""
        deployed = self.folder / "deployed.json"
        deployed.unlink(missing_ok=True)
        ignored = ("AWS_", "MAKE", "MFLAGS", "ARCHITECTURE", "EMAIL", "ENV", "HOST", "PAGE", "PHONE", "SET", "CARGO_TARGET_DIR")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
        here = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(self.folder),
            "TZ": "UTC",
        }
        given = {name: value for name, value in (inherited | here | environment).items() if value is not None}
        command = ["make", *arguments]
        if on_terminal:
            # Of util-linux: what it runs has a terminal of its own.
            command = ["script", "--quiet", "--return", "--command", shlex.join(command), "/dev/null"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen(command, cwd=self.folder, env=given, text=True, **pipes) as result:
            output = ""
            while prompt not in output and (character := result.stdout.read(1)):
                output += character
            # A command that stops early reads nothing.
            with contextlib.suppress(BrokenPipeError):
                result.stdin.write(stdin)
                result.stdin.flush()
                # At the end of its input, `script` would not pass on what came before.
                if not on_terminal:
                    result.stdin.close()
            output = (output + result.stdout.read()).replace("\r\n", "\n")
        if is_successful is None:
            is_successful = deployed.exists() or "deploy" not in arguments
        assert (result.returncode == 0) == is_successful, output
        return output, json.loads(deployed.read_text()) if deployed.exists() else None

    def of_tool(self):
        """The region and the arguments of each call of heartbeatctl."""
        return (self.folder / "ctl.log").read_text().splitlines()

    def parameters(self, environment="default"):
        """What SAM reads from samconfig.toml."""
        values = SamConfig(str(self.folder)).get_all(["deploy"], "parameters", environment)
        return values, CfnParameterOverridesType().convert((values["parameter_overrides"],), None, None)


@pytest.fixture
def project(tmp_path, fresh_aws):
    # Its template has no tables.
    fresh_aws("dynamodb").create_table(
        TableName="servers",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "server_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "server_id", "KeyType": "HASH"}],
    )
    return Project(tmp_path, fresh_aws("sts").meta.endpoint_url)


def overrides(deployed):
    return CfnParameterOverridesType().convert((deployed[deployed.index("--parameter-overrides") + 1 :],), None, None)


def of_stack(fresh_aws, name="heartbeat"):
    (stack,) = fresh_aws("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}


def test_the_first_deployment_asks_nothing_and_says_what_is_next(project):
    output, deployed = project.make("deploy")
    options = ["--stack-name", "heartbeat", "--region", "us-east-1", "--config-env", "default"]
    options += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    assert deployed[: len(options)] == options and "--guided" not in deployed
    assert overrides(deployed) == {"Architecture": HOST}
    for words in ("Account 123456789012", "Deployed: https://api/heartbeat", "make enroll HOST=root@web-1", "AlarmEmail"):
        assert words in output, output
    assert "termination-protection" in output and "export AWS_REGION=us-east-1" in output
    # What cargo says is seen, and SAM compiles nothing.
    functions, tool, agent = (project.folder / "cargo.log").read_text().splitlines()
    assert functions == "lambda build --release"
    assert tool == "build --profile tools-release --locked --package heartbeatctl"
    assert agent == f"zigbuild --profile agent --locked --package heartbeat-agent --target {TRIPLE[HOST]}.2.17"
    assert f"Left out: the agent for {OTHER}" in output and f"rustup target add {TRIPLE[OTHER]}" in output
    assert project.of_tool() == ["us-east-1 --stack heartbeat notify test"]
    # The second time, it is short, and nobody is disturbed.
    output, deployed = project.make("deploy")
    assert "termination-protection" not in output and overrides(deployed) == {"Architecture": HOST}
    assert len(project.of_tool()) == 1


def test_the_first_deployment_takes_the_zone_of_this_machine(project, fresh_aws):
    for environment, zone in [("utc", "Etc/UTC"), ("odd", "CET-1CEST"), ("odd-too", "/etc/passwd")]:
        assert "TimeZone" not in overrides(project.make("deploy", f"ENV={environment}", TZ=zone)[1])
    assert overrides(project.make("deploy", TZ=":Europe/Berlin")[1])["TimeZone"] == "Europe/Berlin"
    assert project.parameters()[1]["TimeZone"] == "Europe/Berlin"
    # Whoever deploys later may be elsewhere, also without the file.
    project.make("deploy", TZ="America/New_York")
    (project.folder / "samconfig.toml").unlink()
    project.make("deploy", TZ="America/New_York")
    assert of_stack(fresh_aws)["TimeZone"] == "Europe/Berlin"


def test_a_stack_from_before_breakfast_is_told_once(project):
    file = project.folder / "tiny.json"
    template = file.read_text()
    old = json.loads(template)
    del old["Parameters"]["TimeZone"]
    old["Parameters"]["DigestAt"]["Default"] = "none"
    file.write_text(json.dumps(old))
    project.make("deploy")
    file.write_text(template)
    line = 'make deploy SET="DigestAt=08:00 TimeZone=Europe/Berlin"'
    assert line in project.make("deploy", TZ="Europe/Berlin")[0]
    assert line not in project.make("deploy", TZ="Europe/Berlin")[0]


def test_the_file_has_every_parameter_with_its_default_as_a_comment(project):
    project.make("deploy", EMAIL="me@example.org")
    values, parameters = project.parameters()
    assert parameters == {"Architecture": HOST, "AlarmEmail": "me@example.org"}
    assert {name: values[name] for name in ("stack_name", "region", "resolve_s3", "capabilities")} == {
        "stack_name": "heartbeat",
        "region": "us-east-1",
        "resolve_s3": True,
        "capabilities": "CAPABILITY_IAM",
    }
    config = project.folder / "samconfig.toml"
    # Without the marks of the comments, it says the defaults.
    config.write_text(re.sub(r"^# (?=[A-Z]\w+ = )", "", config.read_text(), flags=re.MULTILINE))
    known = yaml_parse((project.folder / "template.yaml").read_text())["Parameters"]
    defaults = {name: str(parameter["Default"]) for name, parameter in known.items()}
    assert project.parameters()[1] == defaults | parameters


def test_the_address_counts_once(project, fresh_aws):
    output, _ = project.make("deploy", EMAIL="nobody")
    assert "AlarmEmail cannot have this value" in output and not (project.folder / "samconfig.toml").exists()
    project.make("deploy")
    _, deployed = project.make("deploy", EMAIL="me@example.org")
    assert "AlarmEmail" not in overrides(deployed)


def test_a_second_address_is_not_ignored_without_a_word(project):
    first, _ = project.make("deploy", EMAIL="me@example.org")
    same, _ = project.make("deploy", EMAIL="me@example.org")
    assert "EMAIL is for" not in first + same
    output, deployed = project.make("deploy", EMAIL="you@example.org")
    assert "AlarmEmail" in overrides(deployed) and "you@example.org" not in overrides(deployed).values()
    said = "EMAIL is for the first deployment: you@example.org is not subscribed. To add it:"
    (command,) = re.findall(rf"^{said}\n  (aws sns subscribe .*)$", output, re.MULTILINE)
    run(command, AWS_ENDPOINT_URL=project.endpoint)
    output, _ = project.make("deploy", EMAIL="you@example.org")
    assert "EMAIL is for" not in output, output


@pytest.mark.parametrize("name", ["page", "notify", "watchdog"])
def test_no_stack_gets_the_log_group_of_a_function_of_the_first(project, fresh_aws, name):
    output, deployed = project.make("deploy", f"ENV={name}")
    assert deployed is None and f"ENV cannot be '{name}'" in output and not (project.folder / "cargo.log").exists(), output
    # It may go on if it is there.
    fresh_aws("cloudformation").create_stack(
        StackName=f"heartbeat-{name}", TemplateBody=(project.folder / "tiny.json").read_text()
    )
    assert project.make("deploy", f"ENV={name}")[1]


def test_a_fresh_clone_resets_nothing(project, fresh_aws):
    project.make("deploy", f"ARCHITECTURE={OTHER}", "SET=LogLevel=DEBUG ThrottleRate=7")
    (project.folder / "samconfig.toml").unlink()
    _, deployed = project.make("deploy")
    # The processor comes from the stack, not from this machine.
    assert overrides(deployed) == {"Architecture": OTHER}
    assert (of_stack(fresh_aws)["LogLevel"], of_stack(fresh_aws)["ThrottleRate"]) == ("DEBUG", "7")
    assert project.parameters()[1] == {"Architecture": OTHER}


def test_sam_keeps_the_values_of_parameters_that_are_not_given(fresh_aws, tmp_path):
    """SAM itself, on a stack without a transform, which moto does not know."""
    parameters = {name: {"Type": "String", "Default": "default"} for name in ("Kept", "Given")}
    template = {"Parameters": parameters, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    (tmp_path / "template.yaml").write_text(yaml_dump(template))
    environment = os.environ | {"AWS_ENDPOINT_URL": fresh_aws("s3").meta.endpoint_url, "SAM_CLI_TELEMETRY": "0"}
    (tmp_path / "given.yaml").write_text('{"Given": "second"}')
    for given in (["Kept=first", "Given=first"], [f"file://{tmp_path}/given.yaml"]):
        command = ["sam", "deploy", "--stack-name", "kept", "--region", "us-east-1"]
        command += ["--no-confirm-changeset", "--parameter-overrides", *given]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        # So that there is a change.
        template["Resources"]["Another"] = {"Type": "AWS::SNS::Topic"}
        (tmp_path / "template.yaml").write_text(yaml_dump(template))
    assert of_stack(fresh_aws, "kept") == {"Kept": "first", "Given": "second"}


def test_a_template_that_cloudformation_takes_from_s3_only_is_uploaded(fresh_aws, tmp_path):
    """SAM itself, and the AWS CLI as for a release, on a template of more than 51,200 bytes."""
    metadata = {f"Note{number}": 900 * "x" for number in range(60)}
    template = {"Metadata": metadata, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    (tmp_path / "template.yaml").write_text(yaml_dump(template))
    assert (tmp_path / "template.yaml").stat().st_size > 51_200
    fresh_aws("s3").create_bucket(Bucket="uploads")
    # moto takes the host of a template's URL for a bucket, except this one.
    endpoint = fresh_aws("s3").meta.endpoint_url.replace("127.0.0.1", "localhost")
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n")
    environment = os.environ | {"AWS_ENDPOINT_URL": endpoint, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    environment |= {"SAM_CLI_TELEMETRY": "0"}

    def deploy(*command):
        command = [*command, "--template-file", "template.yaml"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    aws = ["aws", "cloudformation", "deploy", "--stack-name", "release"]
    assert "must be deployed via an S3 Bucket" in deploy(*aws).stderr
    # As `make deploy` writes samconfig.toml, with a bucket of SAM's own, which moto does not make.
    for command in ([*aws, "--s3-bucket", "uploads"], ["sam", "deploy", "--stack-name", "clone", "--s3-bucket", "uploads"]):
        done = deploy(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    stacks = fresh_aws("cloudformation").describe_stacks()["Stacks"]
    assert {stack["StackName"] for stack in stacks} == {"release", "clone"}
    assert fresh_aws("s3").list_objects_v2(Bucket="uploads")["KeyCount"] >= 1
    (block,) = re.findall(r"^aws cloudformation deploy (?:.*\\\n)*.*$", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)
    assert "--s3-bucket" in block


def test_set_is_merged_with_the_file(project):
    project.make("deploy", EMAIL="me@example.org")
    urls = "ntfy:https://ntfy.sh/T0K3N slack:https://hooks.slack.com/x?a=1,2;b='3'"
    output, deployed = project.make("deploy", "SET=LogLevel=DEBUG WebhookUrls Limits=disk_percent=80,load_5m=4", stdin=urls)
    assert overrides(deployed) == {
        "Architecture": HOST,
        "AlarmEmail": "me@example.org",
        "LogLevel": "DEBUG",
        "WebhookUrls": urls,
        "Limits": "disk_percent=80,load_5m=4",
    }
    assert "T0K3N" not in output, output


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("LogLevel", "LogLevel is not <parameter>=<value>"),
        ("Loglevel=T0K3N", "SET, entry 1: there is no such parameter. The parameters are: ApiKeySha256"),
        ("LogLevel=T0K3N", "LogLevel cannot have this value. It is TRACE, DEBUG"),
        ("ThrottleBurst=0", "It is a whole number above 0"),
        ("ThrottleRate=1.5", "ThrottleRate cannot have this value. It is a whole number of at least 1"),
        ("MemorySize=64", "It is a whole number of at least 128 and of at most 10240"),
        ("CaBundle=/" + 255 * "x", "It is none, or an absolute path, of at most 255 characters"),
        ("AlarmEmail='me@T0K3N\"'", "must not contain a quotation mark"),
        ("LogLevel='T0K3N", "SET: No closing quotation."),
        ("WebhookUrls=slack:https://T0K3N", "SET: WebhookUrls is a secret"),
        ("PagePasswordSha256=T0K3N", "on standard input: make deploy SET=PagePasswordSha256"),
        # The end of a secret that was not quoted.
        ("LogLevel=WARN slack:https://x/T0K3N", "SET, entry 2: there is no such parameter"),
        ("LogLevel=WARN slack:https://x/?T0K3N=a", "SET, entry 2: there is no such parameter"),
        ("WebhookUrls", "SET: WebhookUrls cannot have this value. It is entries <format>:<https URL> or <format>@<group>:<https URL>"),
        ("WebhookUrls PingUrl LogLevel=WARN PingUrl", "SET: WebhookUrls cannot have this value"),
    ],
)
def test_a_wrong_parameter_is_named_before_anything_is_built(project, given, reason):
    output, deployed = project.make("deploy", f"SET={given}", stdin="slack:http://T0K3N\n")
    assert deployed is None and reason in output and "Traceback" not in output, output
    assert "T0K3N" not in output
    assert not (project.folder / "cargo.log").exists() and not (project.folder / "samconfig.toml").exists()


SECTION = """version = 0.1
[default.deploy.parameters]
stack_name = "heartbeat"
region = "us-east-1"
"""


@pytest.mark.parametrize(
    ("lines", "place", "reason"),
    [
        ("[default.deploy.parameters.parameter_overrides]\nLoglevel = 'DEBUG'", "line 6", "there is no such parameter"),
        ("[default.deploy.parameters.parameter_overrides]\nLogLevel = 'debug'", "line 6", "It is TRACE, DEBUG"),
        ("[default.deploy.parameters.parameter_overrides]\nMemorySize = 64", "line 6", "of at least 128"),
        ("parameter_overrides = 'LogLevel=WARN ThrottleRate=0'", "line 5", "of at least 1"),
        ("parameter_overrides = 'T0K3N'", "line 5", "not a valid format"),
        ("stack_nam = 'other'", "line 5", "no option 'stack_nam'"),
        ("[default.deploy.parameters.parameter_overrides\nLogLevel = 'DEBUG'", "line 5", "cannot be read"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_before_anything_is_built(project, lines, place, reason):
    (project.folder / "samconfig.toml").write_text(SECTION + lines + "\n")
    for target in ("deploy", "example"):
        output, deployed = project.make(target, is_successful=False)
        assert deployed is None and place in output and reason in output, output
        assert "samconfig.toml" in output and "Traceback" not in output and "T0K3N" not in output
    assert not (project.folder / "cargo.log").exists()


def test_numbers_of_the_file_are_passed_on(project):
    overrides_of_file = "[default.deploy.parameters.parameter_overrides]\nThrottleRate = 7\n"
    (project.folder / "samconfig.toml").write_text(SECTION + overrides_of_file)
    _, deployed = project.make("deploy")
    assert overrides(deployed) == {"Architecture": HOST, "ThrottleRate": "7"}


def test_another_region_than_that_of_the_file_stops(project):
    project.make("deploy")
    (project.folder / "cargo.log").unlink()
    output, deployed = project.make("deploy", AWS_REGION="eu-north-1")
    assert deployed is None and "deployed to us-east-1, but AWS_REGION is eu-north-1" in output, output
    assert not (project.folder / "cargo.log").exists()


@pytest.fixture
def cloudformation():
    """A CloudFormation whose stack is in a state that moto never reaches."""

    class Stack(Handler):
        def do_POST(self):
            stack = f"<StackName>heartbeat</StackName><StackStatus>{self.status}</StackStatus>"
            member = f"<member>{stack}<CreationTime>2026-01-01T00:00:00Z</CreationTime></member>"
            result = f"<DescribeStacksResult><Stacks>{member}</Stacks></DescribeStacksResult>"
            body = f"<DescribeStacksResponse>{result}</DescribeStacksResponse>".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Stack) as Stack.address:
        yield Stack


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name heartbeat --region us-east-1"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback"),
        ("UPDATE_IN_PROGRESS", "Wait until CloudFormation is done"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_found_before_anything_is_built(project, cloudformation, status, advice):
    cloudformation.status = status
    endpoint = f"http://{cloudformation.address}"
    output, deployed = project.make("deploy", AWS_ENDPOINT_URL_CLOUDFORMATION=endpoint)
    assert deployed is None and status in output and advice in output, output
    assert not (project.folder / "cargo.log").exists() and not (project.folder / "samconfig.toml").exists()


@pytest.fixture
def account():
    """A Lambda that says how much concurrency the account has, which moto does not."""

    class Account(Handler):
        def do_GET(self):
            assert self.path == "/2016-08-19/account-settings"
            self.answer(200, {"AccountLimit": self.limit})

    with serving(Account) as Account.address:
        yield Account


def test_a_function_url_reserves_a_tenth_of_the_rate_or_says_that_the_account_has_too_little(project, account):
    lambda_ = {"AWS_ENDPOINT_URL_LAMBDA": f"http://{account.address}"}
    account.limit = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    output, deployed = project.make("deploy", "SET=Front=both ThrottleRate=201", **lambda_)
    assert deployed is None and "10 in all, of which the stack can reserve 0, and it needs 22" in output, output
    assert "request-service-quota-increase --region us-east-1" in output and "--desired-value 1000" in output
    assert not (project.folder / "cargo.log").exists()
    # 21 for heartbeats, one for the watchdog, and what Lambda keeps.
    account.limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 122}
    _, deployed = project.make("deploy", "SET=Front=both ThrottleRate=201", **lambda_)
    assert overrides(deployed)["ReservedConcurrency"] == "21"
    # The stack has them already, and the number follows the rate.
    account.limit["UnreservedConcurrentExecutions"] = 100
    _, deployed = project.make("deploy", "SET=Front=url", **lambda_)
    assert overrides(deployed)["ReservedConcurrency"] == "21"
    output, deployed = project.make("deploy", "SET=ThrottleRate=211", **lambda_)
    assert deployed is None and "can reserve 22, and it needs 23" in output, output


def test_an_address_that_was_never_confirmed_can_be_asked_again(project, fresh_aws):
    output, _ = project.make("deploy", EMAIL="me@example.org")
    # Two days later, SNS has forgotten it. moto's stack never had the subscription.
    output, _ = project.make("deploy")
    (line,) = [line.strip() for line in output.splitlines() if "aws sns subscribe" in line]
    assert 'SET="AlarmEmail' not in output
    run(line, AWS_ENDPOINT_URL=fresh_aws("sns").meta.endpoint_url)
    output, _ = project.make("deploy")
    assert "sns subscribe" not in output, output


@pytest.mark.parametrize("environment", [{"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, {}])
def test_the_example_needs_credentials_and_a_stack(project, environment):
    output, _ = project.make("example", is_successful=False, **environment)
    reason = "There are no AWS credentials" if environment else "There is no stack heartbeat in us-east-1"
    assert reason in output and "Traceback" not in output, output


def test_an_interruption_is_no_traceback(project):
    (project.folder / "target/tools/bin/cargo").write_text('#!/bin/sh\nkill -INT $PPID\nexec sleep 60 >&- 2>&-\n')
    output, deployed = project.make("deploy")
    assert deployed is None and "Interrupted." in output and "Traceback" not in output, output


def test_the_output_of_sam_is_shown_if_it_fails(project):
    output, _ = project.make("deploy", SAYS="what SAM says")
    assert "what SAM says" not in output
    output, deployed = project.make("deploy", SAYS="what SAM says", FAILS="build")
    assert deployed is None and "what SAM says" in output and "Not deployed: sam build failed." in output, output


def test_secrets_are_on_no_command_line(project):
    project.make("deploy", "SET=WebhookUrls LogLevel=WARN", stdin="ntfy:https://ntfy.sh/T0K3N\n")
    arguments = (project.folder / "arguments.log").read_text()
    assert "T0K3N" not in arguments and 'LogLevel="WARN"' in arguments, arguments
    (file,) = re.findall(r"file://([^'\s]+)", arguments)
    assert not os.path.exists(file)


def test_secrets_are_read_from_standard_input_in_the_order_of_their_names(project):
    secrets = {"WebhookUrls": "ntfy:https://ntfy.sh/T0K3N", "PingUrl": "https://hc-ping.com/T0K3N"}
    lines = "".join(f"{value}\n" for value in secrets.values())
    output, deployed = project.make("deploy", "SET=WebhookUrls LogLevel=WARN PingUrl", stdin=lines)
    assert overrides(deployed) == secrets | {"LogLevel": "WARN", "Architecture": HOST}
    # What is not secret needs no line.
    _, deployed = project.make("deploy", "SET=WebhookUrls=none")
    assert overrides(deployed)["WebhookUrls"] == "none"
    output, deployed = project.make("deploy", "SET=WebhookUrls PingUrl", stdin=lines.splitlines()[0])
    assert deployed is None and "SET: standard input has no line for PingUrl" in output and "T0K3N" not in output, output


def test_a_secret_is_read_from_the_terminal_without_an_echo(project):
    url = "https://hc-ping.com/T0K3N"
    output, deployed = project.make("deploy", "SET=PingUrl", on_terminal=True, prompt="not shown: ", stdin=f"{url}\n")
    assert overrides(deployed)["PingUrl"] == url and "T0K3N" not in output, output


def test_a_second_environment_has_its_own_stack(project, fresh_aws):
    project.make("deploy", "SET=LogLevel=WARN")
    _, deployed = project.make("deploy", "ENV=staging", AWS_REGION="eu-north-1", EMAIL="me@example.org")
    assert deployed[:6] == ["--stack-name", "heartbeat-staging", "--region", "eu-north-1", "--config-env", "staging"]
    assert project.parameters("staging")[1] == {"Architecture": HOST, "AlarmEmail": "me@example.org"}
    assert project.parameters()[1] == {"Architecture": HOST}
    _, deployed = project.make("deploy", "ENV=staging", AWS_REGION=None)
    assert deployed[1:4:2] == ["heartbeat-staging", "eu-north-1"]


def test_the_name_of_an_environment_is_checked(project):
    output, deployed = project.make("deploy", "ENV=my stack")
    assert deployed is None and "ENV cannot be 'my stack'" in output
    # The start-up file of a shell.
    _, deployed = project.make("deploy", ENV="/etc/shinit")
    assert deployed[:2] == ["--stack-name", "heartbeat"]


def test_a_file_of_an_older_version_is_read(project):
    config = SamConfig(str(project.folder))
    for key, value in {
        "stack_name": "older",
        "region": "eu-west-1",
        "parameter_overrides": f'ApiKeySha256="" Architecture="{OTHER}" LogLevel="WARN"',
    }.items():
        config.put(["deploy"], "parameters", key, value)
    config.flush()
    _, deployed = project.make("deploy", AWS_REGION=None)
    assert deployed[1:4:2] == ["older", "eu-west-1"]
    assert overrides(deployed) == {"ApiKeySha256": "", "Architecture": OTHER, "LogLevel": "WARN"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_bootstrap_for_the_wrong_processor_is_not_deployed(project, function):
    output, deployed = project.make("deploy", **{f"BUILT_{function}": OTHER})
    assert deployed is None
    assert f".aws-sam/build/{function}/bootstrap is built for {OTHER}, but would run on {HOST}" in output


def test_the_architecture_can_be_chosen(project):
    _, deployed = project.make("deploy", "ARCHITECTURE=arm64")
    assert overrides(deployed) == {"Architecture": "arm64"}
    assert (project.folder / "cargo.log").read_text().startswith("lambda build --release --arm64\n")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "There are no AWS credentials. Sign in"),
        ({"AWS_REGION": None}, "No region: set AWS_REGION"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "AWS cannot be reached"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_built(project, environment, reason):
    output, deployed = project.make("deploy", **environment)
    assert deployed is None and reason in output, output
    assert "Traceback" not in output
    assert not (project.folder / "cargo.log").exists() and not (project.folder / "samconfig.toml").exists()


@pytest.mark.parametrize("target", ["test-deployment", "instructions", "budgets"])
def test_what_make_runs_is_built_for_this_machine(project, target):
    assert f"Architecture={HOST}" in project.make("--dry-run", target, f"ARCHITECTURE_IS={OTHER}")[0]


def test_both_agents_are_built_where_rust_can(project):
    output, _ = project.make("deploy", HAS_TARGET="yes")
    built = (project.folder / "cargo.log").read_text()
    assert all(f"{triple}.2.17" in built for triple in TRIPLE.values()) and "Left out" not in output


def test_a_topic_for_the_phone_is_made_once(project):
    output, deployed = project.make("deploy", PHONE="ntfy", on_terminal=True)
    (topic,) = re.findall(TOPIC, output, re.MULTILINE)
    assert overrides(deployed)["WebhookUrls"] == f"ntfy:https://ntfy.sh/{topic}"
    assert topic not in (project.folder / "arguments.log").read_text()
    assert topic not in (project.folder / "samconfig.toml").read_text()
    output, deployed = project.make("deploy", PHONE="ntfy")
    assert "WebhookUrls" not in overrides(deployed) and "already" in output and "ntfy.sh" not in output, output
    # Nor does it replace one that is given.
    (project.folder / "samconfig.toml").unlink()
    _, deployed = project.make("deploy", "ENV=other", "SET=WebhookUrls", stdin="json:https://x", PHONE="ntfy")
    assert overrides(deployed)["WebhookUrls"] == "json:https://x"
    output, deployed = project.make("deploy", PHONE="signal")
    assert deployed is None and "PHONE cannot have this value. It is ntfy." in output
    assert "signal" not in output


def test_without_a_terminal_a_topic_is_in_a_file_and_in_no_log(project):
    output, deployed = project.make("deploy", PHONE="ntfy")
    topic = overrides(deployed)["WebhookUrls"].removeprefix("ntfy:https://ntfy.sh/")
    assert topic not in output and f"{SECRETS}.deployed has the topic." in output, output
    file = project.folder / f"{SECRETS}.deployed"
    assert json.loads(file.read_text()) == {"topic": topic} and file.stat().st_mode & 0o777 == 0o600


def test_the_password_of_the_page_is_made_once_and_for_a_terminal(project):
    output, deployed = project.make("deploy", PAGE="on")
    assert deployed is None and "not a terminal" in output and not (project.folder / "cargo.log").exists()
    output, deployed = project.make("deploy", PAGE="on", on_terminal=True)
    (password,) = re.findall(r"shown only now: ((?:[a-z2-9]{5}-){3}[a-z2-9]{5})$", output, re.MULTILINE)
    digest = hashlib.sha256(password.encode()).hexdigest()
    assert overrides(deployed)["PagePasswordSha256"] == digest
    # Whoever reads the digest can sign in.
    assert digest not in (project.folder / "arguments.log").read_text()
    assert "The page: https://PageUrl" in output and "make open" in output
    for file in project.folder.rglob("*"):
        assert not file.is_file() or password not in file.read_text(errors="ignore"), file
    output, deployed = project.make("deploy", PAGE="on", on_terminal=True)
    assert "PagePasswordSha256" not in overrides(deployed) and "shown only now" not in output, output
    assert "https://PageUrl" in project.make("open")[0].splitlines()


SECRETS = "samconfig.toml.123456789012.us-east-1.heartbeat.secrets"
TOPIC = r"^  (heartbeat-[a-z2-7]{16})    https://ntfy.sh/\1$"
PASSWORD = r"shown only now: ((?:[a-z2-9]{5}-){3}[a-z2-9]{5})$"


@pytest.mark.parametrize("end", [{"BEFORE": "expired"}, {"AFTER": "expired"}, {"AFTER": "interrupted"}])
def test_a_topic_and_a_password_outlive_a_deployment_that_did_not_end_well(project, fresh_aws, end):
    project.make("deploy")
    asked = {"PHONE": "ntfy", "PAGE": "on", "on_terminal": True}
    output, _ = project.make("deploy", is_successful=False, **asked, **end)
    assert f"{SECRETS} keeps the topic and the password of the page." in output and "ntfy.sh" not in output, output
    kept = json.loads((project.folder / "kept.json").read_text())
    assert kept == {SECRETS: ["0o600", {"topic": kept[SECRETS][1]["topic"], "password": kept[SECRETS][1]["password"]}]}
    names = [SECRETS, f"{SECRETS}.deployed"]
    ignored = subprocess.run(["git", "check-ignore", "--no-index", *names], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout.splitlines() == names
    calls = len(project.of_tool())
    # The same command, or a shorter one: nothing that was asked for is lost.
    output, deployed = project.make("deploy", on_terminal=True)
    (topic,), (password,) = re.findall(TOPIC, output, re.MULTILINE), re.findall(PASSWORD, output, re.MULTILINE)
    assert kept[SECRETS][1] == {"topic": topic, "password": password} and "already" not in output
    assert of_stack(fresh_aws)["WebhookUrls"] == f"ntfy:https://ntfy.sh/{topic}"
    assert of_stack(fresh_aws)["PagePasswordSha256"] == hashlib.sha256(password.encode()).hexdigest()
    assert len(project.of_tool()) == calls + 1 and project.of_tool()[-1].endswith("notify test")
    assert not list(project.folder.glob("*.secrets*"))
    output, deployed = project.make("deploy", **asked)
    assert overrides(deployed) == {"Architecture": HOST} and output.count("already") == 2, output


def test_what_sam_has_deployed_and_nobody_was_told_is_kept_and_never_used_again(project):
    project.make("deploy", PAGE="on", BEFORE="expired", on_terminal=True, is_successful=False)
    output, deployed = project.make("deploy")
    # Not a terminal.
    assert "shown only now" not in output and f"{SECRETS}.deployed has the password of the page." in output, output
    digest = overrides(deployed)["PagePasswordSha256"]
    (file,) = project.folder.glob("*.secrets*")
    assert file.name == f"{SECRETS}.deployed" and file.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(json.loads(file.read_text())["password"].encode()).hexdigest() == digest
    output, deployed = project.make("deploy", on_terminal=True)
    assert "shown only now" not in output and "PagePasswordSha256" not in overrides(deployed), output


def test_a_topic_of_a_deployment_that_failed_yields_to_what_is_given(project):
    project.make("deploy", PHONE="ntfy", BEFORE="expired", is_successful=False)
    _, deployed = project.make("deploy", "ENV=staging")
    assert "WebhookUrls" not in overrides(deployed)
    output, deployed = project.make("deploy", "SET=WebhookUrls", stdin="json:https://x")
    assert overrides(deployed)["WebhookUrls"] == "json:https://x" and "ntfy.sh" not in output
    assert not list(project.folder.glob("*.secrets*"))


def test_whoever_is_new_gets_a_test(project):
    project.make("deploy", "ENV=staging")
    project.make("deploy", "ENV=staging", "SET=LogLevel=WARN")
    project.make("deploy", "ENV=staging", "SET=AlarmEmail=me@example.org")
    assert project.of_tool() == 2 * ["us-east-1 --stack heartbeat-staging notify test"]


@pytest.mark.parametrize("is_hidden", [True, False])
def test_webhooks_get_a_test_whenever_they_change_wherever_they_are_set(project, fresh_aws, is_hidden):
    tests = 1
    project.make("deploy")

    def change(webhooks, expected, **options):
        """Deploys with the webhooks that samconfig.toml has; expects so many tests."""
        nonlocal tests
        config = project.folder / "samconfig.toml"
        text = re.sub(r"^(# )?WebhookUrls = .*$", f'WebhookUrls = "{webhooks}"', config.read_text(), flags=re.MULTILINE)
        config.write_text(text)
        _, deployed = project.make("deploy", **options)
        tests += expected
        assert len(project.of_tool()) == tests, webhooks
        if is_hidden:
            # As CloudFormation shows them, in contrast to moto.
            set_function(overrides(deployed)["WebhookUrls"])
            parameters = {**of_stack(fresh_aws), "WebhookUrls": "****"}
            fresh_aws("cloudformation").update_stack(
                StackName="heartbeat",
                TemplateBody=(project.folder / "tiny.json").read_text(),
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            )

    def set_function(webhooks):
        client, variables = fresh_aws("lambda"), {"Variables": {"WEBHOOK_URLS": webhooks}}
        try:
            client.update_function_configuration(FunctionName="notify", Environment=variables)
        except client.exceptions.ResourceNotFoundException:
            role = fresh_aws("iam").create_role(RoleName="notify", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
            package = io.BytesIO()
            with zipfile.ZipFile(package, "w") as archive:
                archive.writestr("bootstrap", "")
            code = {"ZipFile": package.getvalue()}
            client.create_function(
                FunctionName="notify", Runtime="provided.al2023", Role=role, Handler="bootstrap", Code=code, Environment=variables
            )

    change("ntfy:https://ntfy.sh/a", 1)
    change("ntfy:https://ntfy.sh/a", 0)
    change("ntfy:https://ntfy.sh/b", 1)
    change("ntfy:https://ntfy.sh/b json:https://x", 1)
    change("ntfy:https://ntfy.sh/b json:https://x", 0, EMAIL="you@example.org")
    assert "ntfy.sh" not in (project.folder / "ctl.log").read_text()


def test_what_is_known_of_webhooks_goes_with_them(project, fresh_aws):
    project.make("deploy", "SET=WebhookUrls", stdin="json:https://x")
    for name in ("#notify", "#watchdog"):
        fresh_aws("dynamodb").put_item(TableName="servers", Item={"server_id": {"S": name}})
    project.make("deploy")
    assert len(fresh_aws("dynamodb").scan(TableName="servers")["Items"]) == 2
    project.make("deploy", "SET=WebhookUrls=none")
    assert fresh_aws("dynamodb").scan(TableName="servers")["Items"] == [{"server_id": {"S": "#watchdog"}}]


def test_servers_are_enrolled_in_the_stack(project):
    output, _ = project.make("enroll", "HOST=root@web-1", is_successful=False)
    assert "There is no stack heartbeat in us-east-1" in output
    project.make("deploy")
    output, _ = project.make("enroll", is_successful=False)
    assert "HOST is missing" in output and "Traceback" not in output
    project.make("enroll", "HOST=root@web-1 -oProxyCommand=x")
    assert project.of_tool()[-1] == "us-east-1 --stack heartbeat enroll --ssh=root@web-1 --ssh=-oProxyCommand=x"
    output, _ = project.make("open", is_successful=False)
    assert "PAGE=on make deploy" in output
