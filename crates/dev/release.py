#!/usr/bin/env python3
"""Builds what a person without Rust needs, in target/release-files: `make release [ARCHITECTURES="arm64 x86_64"]`.

For each processor: the functions as zip files with a template that names them, the agent and heartbeatctl for any Linux
with glibc 2.17, and the agent's Debian package. And the checksums of it all.
"""

import calendar
import gzip
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from deploy import RUST_TARGETS, machine, program_build
from samcli.yamlhelper import yaml_dump, yaml_parse

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
FILES = TARGET / "release-files"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
# The profile and the package of each program.
PROGRAMS = {"heartbeat-agent": "agent", "heartbeatctl": "tools-release"}
# The same files make the same archive, whenever it is made.
EPOCH = (1980, 1, 1, 0, 0, 0)
SECONDS = calendar.timegm(EPOCH)
HAS_CARGO_DEB = bool(shutil.which("cargo-deb"))


def run(*command):
    print(f"$ {shlex.join(map(str, command))}", flush=True)
    subprocess.run(command, check=True)


def package_functions(architecture):
    """heartbeat-<version>-<architecture>.zip: template.yaml, and a zip file for each function."""
    run("cargo", "lambda", "build", "--release", *(["--arm64"] if architecture == "arm64" else []))
    template = yaml_parse((ROOT / "template.yaml").read_text())
    del template["Globals"]["Function"]["CodeUri"]
    folder = FILES / f"heartbeat-{VERSION}-{architecture}"
    folder.mkdir()
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        binary = resource.pop("Metadata")["BuildProperties"]["Binary"]
        bootstrap = TARGET / "lambda" / binary / "bootstrap"
        if (built := machine(bootstrap)) != architecture:
            sys.exit(f"{bootstrap} is built for {built}, not for {architecture}.")
        resource["Properties"]["CodeUri"] = f"{binary}.zip"
        add(folder / f"{binary}.zip", {"bootstrap": bootstrap})
    template["Parameters"]["Architecture"] |= {"Default": architecture, "AllowedValues": [architecture]}
    (folder / "template.yaml").write_text(yaml_dump(template))
    add(
        folder.with_name(f"{folder.name}.zip"),
        {f"{folder.name}/{file.name}": file for file in sorted(folder.iterdir())},
    )
    shutil.rmtree(folder)


def add(archive, files):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = (0o755 if name == "bootstrap" else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, file.read_bytes())


def package_programs(architectures):
    """The agent and heartbeatctl as tar files, and the agent's Debian package."""
    for program, profile in PROGRAMS.items():
        sums = []
        for architecture in architectures:
            target = RUST_TARGETS[architecture]
            run("cargo", "zigbuild", *program_build(program, profile, target))
            built = TARGET / target / profile / program
            pack(FILES / f"{program}-{VERSION}-linux-{architecture}.tar.gz", program, built)
            sums.append(f"{architecture}={hashlib.sha256(built.read_bytes()).hexdigest()}")
        # heartbeatctl, which is built after the agents, installs no others.
        os.environ[f"{program.upper().replace('-', '_')}_SHA256"] = " ".join(sums)
    for architecture in architectures if HAS_CARGO_DEB else []:
        options = ["--no-build", "--no-strip", "--profile", "agent", "--package", "heartbeat-agent"]
        run("cargo", "deb", *options, "--target", RUST_TARGETS[architecture], "--output", FILES)


def pack(archive, name, file):
    """A tar file with one program, of no person and no time."""
    # gzip.open would write the time, and the archive's name.
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w") as files:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size, entry.mtime = 0o755, file.stat().st_size, SECONDS
            with open(file, "rb") as content:
                files.addfile(entry, content)


def main():
    os.chdir(ROOT)
    if not HAS_CARGO_DEB:
        print("left out: the Debian package, because cargo-deb is not installed (cargo install --locked cargo-deb)")
    # cargo-deb's time.
    os.environ["SOURCE_DATE_EPOCH"] = str(SECONDS)
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir(parents=True)
    for architecture in sys.argv[1:]:
        package_functions(architecture)
    package_programs(sys.argv[1:])
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(FILES.iterdir())]
    (FILES / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")


if __name__ == "__main__":
    main()
