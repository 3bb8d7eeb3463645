"""How `make test` begins and ends on a machine that lacks something, what `.ci/install` does there, and the project's own tools."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from local import ROOT

sys.path.insert(0, str(ROOT / "crates/dev"))

import tools

# What every Debian has, and `make`.
SYSTEM = ["awk", "cat", "env", "id", "ln", "make", "sed", "sh", "touch", "tr", "true", "uname"]
# `programs` stands for what all others need.
PARTS = "programs test-web test-code"
MAKEFILE = f"""
test:
	@.ci/install --look {PARTS} && python3 crates/dev/test.py {PARTS}
programs test-web:
	@touch $@.ran
test-code:
	@echo 'test a ... skipped: needs bindfs'; echo 'skipped: needs bindfs'
	@python3 -c 'import signal; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler'
"""
# Installs a program by making it, and says how much that is, as apt 2 does and as apt 3 does.
APT = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
*--assume-no*) printf '{size}'; exit 1 ;;
*install*) for name in {programs}; do ln -sf /bin/true {folder}/$name; done ;;
esac
"""
SIZES = [
    "Need to get 12.3 MB of archives.\\nAfter this operation, 45.6 MB of additional disk space will be used.\\n",
    "  Installing: 1\\n  Download size: 12.3 MB\\n  Space needed: 45.6 MB / 9 GB available\\n",
]


class Machine:
    """A clone, and a PATH that has what the table names, without some of it."""

    def __init__(self, folder, makefile=None):
        self.clone = folder / "clone"
        for name in (".ci/install", "crates/dev/test.py", "crates/dev/run.py", "crates/dev/tools.py", "crates/dev/local.env", "Makefile"):
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.clone / name)
        if makefile:
            (self.clone / "Makefile").write_text(makefile)
        self.bin = folder / "bin"
        self.log = folder / "apt.log"
        self.bin.mkdir()
        for name in SYSTEM:
            (self.bin / name).symlink_to(shutil.which(name))
        (self.bin / "python3").symlink_to(sys.executable)
        # What the table names. Nobody runs it here.
        table = re.search(r"<<'END'\n(.*?)END", (ROOT / ".ci/install").read_text(), re.DOTALL)[1]
        self.table = [line.split(maxsplit=3) for line in table.splitlines()]
        for programs, *_ in self.table:
            self.add(programs.split(",")[0], "exit 0")
        self.user("1000")
        self.remove("sudo")

    def add(self, name, script):
        self.remove(name)
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def remove(self, *names):
        for name in names:
            (self.bin / name).unlink(missing_ok=True)

    def lack(self, programs):
        """Takes these programs away, of which one would be enough."""
        if programs == "venv":
            real = self.bin.joinpath("python3").resolve()
            self.add("python3", f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec {real} "$@"')
        self.remove(*programs.split(","))

    def user(self, number):
        self.add("id", f"echo {number}")

    def apt(self, size=SIZES[0], programs=""):
        self.remove("apt-get")
        (self.bin / "apt-get").write_text(APT.format(log=self.log, size=size, folder=self.bin, programs=programs))
        (self.bin / "apt-get").chmod(0o755)

    def installed(self):
        """What was installed with apt."""
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        return [call.split()[3:] for call in calls if call.startswith("install") and "--assume-no" not in call]

    def run(self, *command, **environment):
        inherited = {name: value for name, value in os.environ.items() if not re.match("CI$|INSTALL|MAKE|MFLAGS|CARGO_T", name)}
        environment = inherited | {"PATH": str(self.bin), **environment}
        # As in the background, or under `nohup`.
        ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "preexec_fn": ignore}
        done = subprocess.run(command, cwd=self.clone, env=environment, **options)
        return done.returncode, done.stdout

    def has_run(self, part):
        return (self.clone / f"{part}.ran").exists()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path, MAKEFILE)
    machine.apt()
    return machine


CHROMIUM = "chromium,chromium-browser,google-chrome"
COMMAND = "apt-get update && apt-get install --yes --no-install-recommends"


def test_a_machine_that_has_everything_is_told_nothing(machine):
    status, output = machine.run("make", "test")
    assert status == 0 and "Missing" not in output and machine.has_run("test-web"), output
    # What tests have skipped is said at the end, once.
    (end,) = re.findall(r"^test-code +\d+ s  (.*)$", output.split("\n\n")[-1], re.MULTILINE)
    assert end == "passed; skipped: needs bindfs"


@pytest.mark.parametrize("is_ci", [False, True])
def test_a_part_that_lacks_a_program_is_skipped_and_has_failed_on_ci(machine, is_ci):
    machine.lack(CHROMIUM)
    status, output = machine.run("make", "test", **({"CI": "true"} if is_ci else {}))
    assert output.index("Missing: Chromium.\n") < output.index(f"as root: {COMMAND} chromium\n") < output.index("programs …")
    assert output.count("Missing") == 1 and "sudo" not in output
    assert machine.has_run("programs") and not machine.has_run("test-web") and not machine.installed()
    said = "FAILED: needs Chromium" if is_ci else "skipped: needs Chromium"
    assert re.search(rf"^test-web +0 s  {said}$", output, re.MULTILINE), output
    assert (status != 0) == is_ci


def test_what_tests_of_a_part_lack_skips_no_part(machine):
    machine.lack("bindfs")
    status, output = machine.run("make", "test")
    assert status == 0 and "Missing: bindfs.\n" in output and re.search(r"test-code .* passed", output), output


@pytest.mark.parametrize("programs", ["cargo", "cc", "c++", "venv", "python3"])
def test_what_all_parts_need_is_named_before_anything_runs(machine, programs):
    machine.lack(programs)
    status, output = machine.run("make", "test")
    assert status != 0 and not machine.has_run("programs"), output
    name = "Python" if programs == "python3" else next(row[3] for row in machine.table if row[0] == programs)
    assert output.startswith(f"Missing: {name}") and "Traceback" not in output, output


@pytest.mark.parametrize("programs", ["cc", "venv"])
def test_make_run_says_in_one_sentence_what_it_lacks(tmp_path, programs):
    machine = Machine(tmp_path)
    machine.apt()
    machine.user("0")
    machine.lack(programs)
    status, output = machine.run("make", "run")
    sentence, command, error = output.splitlines()
    assert status != 0 and sentence.startswith("Missing: ") and command.startswith("Install it as root: "), output
    assert error.startswith("make: ") and not machine.log.exists()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("who", ["root", "CI"])
def test_it_is_installed_for_root_and_on_ci_after_one_line_that_says_how_much(machine, size, who):
    machine.lack(CHROMIUM)
    machine.lack("java")
    machine.apt(size, "chromium java")
    if who == "root":
        machine.user("0")
    else:
        machine.add("sudo", '[ "$1" = -n ] && shift && exec "$@"')
    given = {"CI": "true"} if who == "CI" else {}
    status, output = machine.run("make", "test", INSTALL="no", **given)
    assert "Missing: Chromium.\n" in output and not machine.log.exists(), output
    status, output = machine.run("make", "test", **given)
    line = "Installing chromium, 12.3 MB to download, 45.6 MB on the disk. INSTALL=no prevents it.\n"
    assert output.startswith(line) and machine.installed() == [["chromium"]], output
    assert status == 0 and machine.has_run("test-web")
    # Whoever asks for everything gets what no part of this test needs, too.
    machine.remove("java")
    status, output = machine.run(".ci/install")
    assert status == 0 and machine.installed()[1:] == [["default-jre-headless"]], output


def test_every_program_can_be_missing(machine):
    for programs, package, _, name in machine.table:
        # What is in /usr/sbin is found there, too.
        if programs == "venv" or shutil.which(programs, path="/usr/sbin:/sbin"):
            continue
        machine.lack(programs)
        status, output = machine.run(".ci/install")
        assert status == 1 and output.startswith(f"Missing: {name}.\n"), output
        assert (f"{COMMAND} {package}\n" in output) == (package != "-"), output
        machine.add(programs.split(",")[0], "exit 0")
    assert not machine.log.exists()


def test_the_table_names_parts_that_exist(machine):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {part.strip("()") for _, _, parts, _ in machine.table for part in parts.split(",")}
    assert named - targets == {"*"}


def test_each_group_of_parts_looks_first_and_names_the_path_of_its_tools(tmp_path):
    machine = Machine(tmp_path)
    _, shown = machine.run("make", "--dry-run", "test", "lint", "gate", "test-release", "test-all")
    looks = re.findall(r"^\.ci/install --look (.+) && python3 crates/dev/test.py (.+)$", shown, re.MULTILINE)
    assert len(looks) == 5 and all(looked == run for looked, run in looks), shown
    _, shown = machine.run("make", "--dry-run", "validate", "test-stack", "test-systemd", "test-deployment", "test-files", "test-debian")
    assert re.search(r"^target/tools/bin/sam build", shown, re.MULTILINE)
    # For macOS's make, whose PATH is not ours.
    assert not re.search(r"(^|\.py |\s=1 )(sam|cfn-lint|pytest|aws) ", shown, re.MULTILINE), shown


def test_help_says_which_targets_touch_aws(tmp_path):
    _, shown = Machine(tmp_path).run("make")
    marked = {line.split()[0] for line in shown.splitlines() if " (AWS) " in line}
    rules = re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert marked == {name for name, recipe in rules if "crates/dev/deploy.py" in recipe} and "deploy" in marked
    assert "\t" not in shown and re.search(r"^help {18}Print", shown, re.MULTILINE)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Installs an environment; returns what was done for that. Only pip is left out."""
    done, run = [], subprocess.run

    def fake(command, **options):
        command = list(map(str, command))
        done.append(command[2])
        if command[1:3] == ["-m", "venv"]:
            return run([*command, "--without-pip"], **options)
        return subprocess.CompletedProcess(command, 0)

    def install(requirement, stamp="ready"):
        (tmp_path / "requirements.txt").write_text(requirement)
        done.clear()
        monkeypatch.setattr(subprocess, "run", fake)
        tools.install(tmp_path / "tools" / stamp, str(tmp_path / "requirements.txt"))
        assert run([tmp_path / "tools/bin/python", "-c", ""]).returncode == 0
        return [each for each in done if each in ("venv", "pip")]

    return install


def test_tools_are_installed_once_and_again_when_they_would_be_others(environment, tmp_path):
    folder = tmp_path / "tools"
    anew = ["venv", "pip"]
    assert environment("a==1") == anew and environment("a==1") == []
    # Another stamp adds to the environment.
    assert environment("b==1", "tests-ready") == ["pip"] and environment("b==1", "tests-ready") == []
    (folder / "left-over").touch()
    assert environment("a==2") == anew and not (folder / "left-over").exists()
    # No stamp: it was interrupted.
    (folder / "ready").unlink()
    assert environment("a==2") == anew
    # Python is another.
    stamp = folder / "ready"
    assert stamp.read_text().startswith(sys.version)
    stamp.write_text(stamp.read_text().replace(sys.version, "3.9.1"))
    assert environment("a==2") == anew
    # Python is gone.
    for name in ("python", "python3"):
        (folder / "bin" / name).unlink(missing_ok=True)
        (folder / "bin" / name).symlink_to(tmp_path / "gone/python3")
    assert environment("a==2") == anew
    # So is the place of the tools.
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path / "gone")
    assert environment("a==2") == anew


def test_a_clone_on_windows_has_the_line_ends_of_linux(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=true"]
    subprocess.run([*git, "init", "--quiet", first], check=True)
    scripts = [".gitattributes", ".ci/install", "crates/agent/debian/heartbeat-agent.service"]
    for name in scripts:
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, first / name)
    subprocess.run([*git, "-C", first, "add", "."], check=True)
    subprocess.run([*git, "-C", first, "commit", "--quiet", "--message", "a"], check=True)
    subprocess.run([*git, "clone", "--quiet", first, second], check=True)
    for name in scripts:
        assert (second / name).read_bytes() == (ROOT / name).read_bytes(), name
