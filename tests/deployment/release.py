"""What `make release` has built: is it whole, and is its stack the stack? `make test-release`"""

import json
import os
import subprocess
import tarfile
import zipfile

import pytest
from samcli.yamlhelper import yaml_parse
from local import ROOT
from stack import of_type, read, transform

FILES = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release-files"
HOST = "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64"


def test_a_second_release_has_the_same_checksums():
    sums = (FILES / "SHA256SUMS").read_text()
    for program in FILES.parent.glob("*/agent/heartbeat-agent"):
        os.utime(program)
    subprocess.run(["make", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert (FILES / "SHA256SUMS").read_text() == sums


def test_the_checksums_are_those_of_every_file():
    names = {line.split("  ")[1] for line in (FILES / "SHA256SUMS").read_text().splitlines()}
    assert names == {file.name for file in FILES.iterdir()} - {"SHA256SUMS"}
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=FILES, check=True)
    assert sum(name.endswith(".zip") for name in names) >= 1


@pytest.mark.parametrize("archive", sorted(FILES.glob("heartbeat-[0-9]*.zip")), ids=lambda archive: archive.name)
def test_the_packaged_template_is_the_stack(archive, tmp_path, aws):
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    endpoint = aws("s3").meta.endpoint_url
    aws("s3").create_bucket(Bucket="releases")
    packaged = tmp_path / "packaged.yaml"
    command = ["aws", "cloudformation", "package", "--template-file", "template.yaml"]
    command += ["--s3-bucket", "releases", "--output-template-file", packaged]
    environment = os.environ | {"AWS_ENDPOINT_URL": endpoint}
    packed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert packed.returncode == 0, packed.stderr
    template = yaml_parse(packaged.read_text())
    functions = of_type(template, "AWS::Serverless::Function")
    assert functions.keys() == of_type(read(), "AWS::Serverless::Function").keys()
    for name, function in functions.items():
        bucket, key = function["CodeUri"].removeprefix("s3://").split("/", 1)
        code = tmp_path / f"{name}.zip"
        code.write_bytes(aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        with zipfile.ZipFile(code) as files:
            (entry,) = files.infolist()
            assert entry.filename == "bootstrap" and entry.external_attr >> 16 & 0o111 == 0o111
            assert files.read("bootstrap")[:4] == b"\x7fELF"
    # But for the code and the processor that it is built for, it is the stack of `make deploy`.
    architecture = template["Parameters"]["Architecture"]
    assert archive.name.endswith(f"-{architecture['Default']}.zip")
    assert architecture["AllowedValues"] == [architecture["Default"]]
    template["Parameters"]["Architecture"] = read()["Parameters"]["Architecture"]
    assert plain(template) == plain(read())


def plain(template):
    """The stack in plain CloudFormation, without how its functions are built."""
    for resource in template["Resources"].values():
        resource.pop("Metadata", None)
    return json.loads(json.dumps(transform(template)))


@pytest.mark.parametrize("program", ["heartbeat-agent", "heartbeatctl"])
def test_the_programs_run_on_old_systems(program, tmp_path):
    (archive,) = FILES.glob(f"{program}-*-linux-{HOST}.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    shown = subprocess.run([tmp_path / program, "--version"], check=True, capture_output=True, text=True).stdout
    assert shown.startswith(program)
    symbols = subprocess.run(["objdump", "-T", tmp_path / program], check=True, capture_output=True, text=True).stdout
    versions = {tuple(map(int, part.split(")")[0].split("."))) for part in symbols.split("GLIBC_")[1:]}
    assert versions and max(versions) <= (2, 17), max(versions)
