"""What `make deploy` passes to SAM, and when it does not deploy."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_parse
from stack import ROOT

FUNCTIONS = ["HeartbeatFunction", "WatchdogFunction"]
HOST = "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64"
OTHER = "x86_64" if HOST == "arm64" else "arm64"
COPIED = ["Makefile", "template.yaml", "crates/dev/check_architecture.py", "tests/deployment/requirements.txt"]

# A fake SAM: `build` writes ELF headers, and `deploy` records its arguments.
SAM = f"""#!{sys.executable}
import json, os, pathlib, re, shutil, sys
command, text = sys.argv[1], " ".join(sys.argv)
asked = re.search(r"Architecture=(\\w+)", text)
if command == "build":
    for name in {FUNCTIONS!r}:
        built = os.environ.get(f"BUILT_{{name}}", asked[1])
        folder = pathlib.Path(".aws-sam/build", name)
        folder.mkdir(parents=True, exist_ok=True)
        number = {{"x86_64": 62, "arm64": 183}}[built]
        header = b"\\x7fELF\\x02\\x01".ljust(16, b"\\0") + b"\\3\\0" + number.to_bytes(2, "little")
        (folder / "bootstrap").write_bytes(header)
    shutil.copy("template.yaml", ".aws-sam/build/template.yaml")
if command == "deploy":
    pathlib.Path("deployed.json").write_text(json.dumps(sys.argv[2:]))
"""


class Project:
    """A folder in which `make deploy` runs as in the real project, with a fake SAM and a fake AWS CLI."""

    def __init__(self, folder):
        self.folder = folder
        tools = folder / "target/tools/bin"
        tools.mkdir(parents=True)
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        for name, script in {
            "sam": SAM,
            "cfn-lint": "#!/bin/sh\n",
            "aws": '#!/bin/sh\n[ "$*" = "configure get region" ] && echo eu-north-1\n',
            "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        }.items():
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        (tools.parent / "ready").touch()

    def make(self, *arguments, **environment):
        """Runs make; returns its output, and the arguments of `sam deploy` if it was called."""
        deployed = self.folder / "deployed.json"
        deployed.unlink(missing_ok=True)
        ignored = ("AWS_", "MAKE", "MFLAGS", "ARCHITECTURE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ignored)}
        result = subprocess.run(
            ["make", *arguments], cwd=self.folder, env=inherited | environment, capture_output=True, text=True
        )
        assert (result.returncode == 0) == (deployed.exists() or arguments[0] != "deploy"), result.stderr
        return result.stdout + result.stderr, json.loads(deployed.read_text()) if deployed.exists() else None

    def remember(self, architecture):
        """Writes what `sam deploy --guided` writes."""
        config = SamConfig(str(self.folder))
        overrides = f'ApiKeySha256="" Architecture="{architecture}" LogLevel="INFO"'
        for key, value in {"stack_name": "heartbeat", "region": "eu-west-1", "parameter_overrides": overrides}.items():
            config.put(["deploy"], "parameters", key, value)
        config.flush()


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_the_first_deployment_proposes_the_name_the_region_and_the_architecture(project):
    proposed = ["--guided", "--no-fail-on-empty-changeset", "--stack-name", "heartbeat", "--region", "eu-north-1"]
    for arguments, architecture in (([], HOST), ([f"ARCHITECTURE={OTHER}"], OTHER)):
        _, deployed = project.make("deploy", *arguments)
        assert deployed == [*proposed, "--parameter-overrides", f"Architecture={architecture}"]


def test_the_region_of_the_environment_takes_precedence_over_the_configuration(project):
    def region(**environment):
        arguments = project.make("deploy", **environment)[1]
        return arguments[arguments.index("--region") + 1]

    assert region(AWS_DEFAULT_REGION="eu-west-2") == "eu-west-2"
    assert region(AWS_DEFAULT_REGION="eu-west-2", AWS_REGION="eu-west-3") == "eu-west-3"


@pytest.mark.parametrize("architecture", [HOST, OTHER])
def test_later_deployments_use_the_remembered_architecture_and_override_nothing(project, architecture):
    project.remember(architecture)
    output, deployed = project.make("deploy")
    assert f"sam build --parameter-overrides Architecture={architecture}" in output
    assert deployed == ["--guided", "--no-fail-on-empty-changeset"]


def test_a_different_architecture_from_the_remembered_one_is_not_deployed(project):
    project.remember(OTHER)
    output, deployed = project.make("deploy", f"ARCHITECTURE={HOST}")
    assert deployed is None
    assert f"is built for {HOST}, but would run on {OTHER}" in output
    assert "samconfig.toml" in output


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("remembers", [True, False])
def test_a_bootstrap_for_the_wrong_processor_is_not_deployed(project, function, remembers):
    if remembers:
        project.remember(HOST)
    output, deployed = project.make("deploy", **{f"BUILT_{function}": OTHER})
    assert deployed is None
    assert f".aws-sam/build/{function}/bootstrap is built for {OTHER}, but would run on {HOST}" in output


def test_cloudformation_accepts_only_the_architecture_that_was_built(project):
    project.make("deploy", f"ARCHITECTURE={OTHER}")
    built = yaml_parse((project.folder / ".aws-sam/build/template.yaml").read_text())
    original = yaml_parse((project.folder / "template.yaml").read_text())
    architecture = original["Parameters"]["Architecture"]
    original["Parameters"]["Architecture"] = architecture | {"Default": OTHER, "AllowedValues": [OTHER]}
    assert built == original


@pytest.mark.parametrize("target", ["test-deployment", "instructions", "budgets"])
def test_what_make_runs_is_built_for_this_machine(project, target):
    project.remember(OTHER)
    assert f"Architecture={HOST}" in project.make("--dry-run", target)[0]


def prompts(folder, *options):
    """Runs the real guided deployment of SAM, answers each prompt with Enter, and returns its output.

    It ends when SAM needs AWS.
    """
    shutil.copy(ROOT / "template.yaml", folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    result = subprocess.run(
        ["sam", "deploy", "--guided", *options],
        cwd=folder,
        env=environment | {"SAM_CLI_TELEMETRY": "0", "PATH": f"{ROOT}/target/tools/bin:{os.environ['PATH']}"},
        input="\n" * 30,
        capture_output=True,
        text=True,
    )
    return result.stdout


def test_sam_proposes_the_values_of_its_options(tmp_path):
    options = ["--stack-name", "heartbeat", "--region", "eu-north-1", "--parameter-overrides", f"Architecture={OTHER}"]
    output = prompts(tmp_path, *options)
    for proposed in ("Stack Name [heartbeat]", "AWS Region [eu-north-1]", f"Parameter Architecture [{OTHER}]"):
        assert proposed in output.replace("\033[1m", "").replace("\033[0m", "")


def test_sam_proposes_the_remembered_values(tmp_path):
    Project(tmp_path).remember(OTHER)
    output = prompts(tmp_path)
    for proposed in ("Stack Name [heartbeat]", "AWS Region [eu-west-1]", f"Parameter Architecture [{OTHER}]"):
        assert proposed in output.replace("\033[1m", "").replace("\033[0m", "")
