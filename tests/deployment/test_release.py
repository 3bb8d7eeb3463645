"""The archives of `make release`, without what is in them: `release.py` tests that."""

import hashlib
import os
import re
import sys

from local import ROOT
from samcli.yamlhelper import yaml_parse

sys.path.insert(0, str(ROOT / "crates/dev"))

import release
import tools
from release import RUST_TARGETS, add, pack


WORKFLOW = yaml_parse((ROOT / ".github/workflows/release.yaml").read_text())


def test_what_builds_a_release_may_only_read_and_what_publishes_it_runs_no_build():
    build, publish = WORKFLOW["jobs"]["build"], WORKFLOW["jobs"]["publish"]
    assert WORKFLOW["permissions"] == {} and WORKFLOW["jobs"].keys() == {"build", "publish"}
    assert build["permissions"] == {"contents": "read"}
    assert build["steps"][0]["with"] == {"persist-credentials": False}
    assert "make test-release" in str(build["steps"]) and "token" not in str(build["steps"])
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"contents": "write", "id-token": "write", "attestations": "write"}
    used = [step["uses"].split("@")[0] for step in publish["steps"] if "uses" in step]
    assert used == ["actions/download-artifact", "actions/attest-build-provenance"]
    ran = " ".join(step.get("run", "") for step in publish["steps"])
    assert re.findall(r"\b(make|cargo|python3?|pip|sh|bash)\b", ran) == []
    assert ran.index("sha256sum --check --strict SHA256SUMS") < ran.index("gh release create")
    for job in WORKFLOW["jobs"].values():
        assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in job["steps"] if "uses" in step)


def test_pip_takes_only_files_with_a_known_hash():
    lists = re.findall(r"tools\.py \$@ (.+)", (ROOT / "Makefile").read_text())
    assert len(lists) == 4
    for name in lists:
        # Each logical line is one package.
        lines = (ROOT / name).read_text().replace("\\\n", "").splitlines()
        packages = [line for line in lines if line and not line.startswith("#")]
        assert packages and all(re.match(r"[\w.\[\], -]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in packages), name
    assert tools.options([ROOT / lists[0]])[0] == ["--no-deps", "--require-hashes", "--requirement", ROOT / lists[0]]


def test_the_same_programs_make_the_same_archives_whenever_and_wherever(tmp_path):
    program = tmp_path / "program"
    made = []
    for name, time, mode in (("first", 1e9, 0o700), ("second", 1.5e9, 0o755)):
        program.write_bytes(b"the same")
        program.chmod(mode)
        os.utime(program, (time, time))
        folder = tmp_path / name
        folder.mkdir()
        pack(folder / f"{name}.tar.gz", "heartbeat-agent", program)
        add(folder / f"{name}.zip", {"bootstrap": program})
        made.append([(folder / f"{name}.{kind}").read_bytes() for kind in ("tar.gz", "zip")])
    assert made[0] == made[1]


def test_heartbeatctl_is_built_with_the_checksums_of_both_agents(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "TARGET", tmp_path)
    monkeypatch.setattr(release, "FILES", tmp_path)
    monkeypatch.setattr(release, "HAS_CARGO_DEB", False)
    monkeypatch.setenv("HEARTBEAT_AGENT_SHA256", "")
    monkeypatch.setenv("HEARTBEATCTL_SHA256", "")
    known = []

    def build(*command):
        package, target = (command[command.index(option) + 1] for option in ("--package", "--target"))
        profile = tmp_path / target.removesuffix(".2.17") / release.PROGRAMS[package]
        profile.mkdir(parents=True)
        (profile / package).write_text(package + target)
        if package == "heartbeatctl":
            known.append(os.environ["HEARTBEAT_AGENT_SHA256"])

    monkeypatch.setattr(release, "run", build)
    release.package_programs(["arm64", "x86_64"])
    sums = [
        f"{name}={hashlib.sha256(f'heartbeat-agent{RUST_TARGETS[name]}.2.17'.encode()).hexdigest()}"
        for name in ("arm64", "x86_64")
    ]
    assert known == [" ".join(sums)] * 2
