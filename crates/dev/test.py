#!/usr/bin/env python3
"""Runs targets of the Makefile as parts of one test: `make test`, `make lint`, `.ci/run`.

    crates/dev/test.py tools programs test-code test-web …

Each part's output is in target/test-logs. At the end there is one line per part, with its time and, if it failed, with the
place of its log. A failed part does not stop the others, but `tools` and `programs` stop those that need them. A part that lacks
a program is skipped, or has failed with CI=true; `.ci/install` has the table, and has looked before (see the Makefile).
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "target/test-logs"

# Installs what the Python tests need, mostly waiting for the network: while others compile.
IN_BACKGROUND = "tools"
# Compiles what nearly all parts run.
FIRST = "programs"
# These compile, so they need all processors.
ALONE = {"clippy", "doc", "baselines"}
# The others wait half of the time, or use one processor: two of them run at a time, those that take longest first. What is in
# one list runs one after the other.
LONGEST_FIRST = [
    ["test-deployment", "instructions", "test-files", "test-package", "test-debian"],
    ["test-stack"],
    ["test-web"],
    ["test-systemd"],
    ["test-code"],
    ["test-dynamodb-local"],
    ["soak", "soak-short"],
]
# These need none of the tools.
WITHOUT_TOOLS = {FIRST, "format", "clippy", "doc", "locks", "baselines", "deny", "test-code", "test-dynamodb-local", "soak-short"}
# What a failed part printed last is shown at once.
SHOWN_LINES = 60
IS_CI = os.environ.get("CI") == "true"


class Part:
    """A target of the Makefile, its log, and how it ended."""

    def __init__(self, name):
        self.name = name
        self.log = LOGS / f"{name}.log"
        self.outcome = "not run"
        self.seconds = 0
        self.process = None

    def run(self):
        if self.outcome != "not run":
            return
        print(f"{self.name} …", flush=True)
        start = time.monotonic()
        with self.log.open("w") as output:
            command = ["make", "--no-print-directory", self.name]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            status = self.process.wait()
        self.seconds = time.monotonic() - start
        self.outcome = "passed" if status == 0 else "FAILED"
        if status == 0:
            # A test that is alone in its process follows its name, on the same line.
            skipped = re.findall(r"skipped: .*", self.log.read_text(errors="replace"))
            self.outcome = "; ".join(["passed", *dict.fromkeys(skipped)])
        else:
            print("\n".join([f"{self.name} failed:", *self.lines()[-SHOWN_LINES:], ""]), flush=True)
        print(self, flush=True)

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()

    def lacks(self, programs):
        """Ends it without a run if there are programs that it lacks."""
        if programs:
            self.outcome = f"{'FAILED' if IS_CI else 'skipped'}: needs {', '.join(programs)}"

    @property
    def passed(self):
        return self.outcome.startswith(("passed", "skipped"))

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def __str__(self):
        place = "" if self.passed or not self.log.exists() else f"  {self.log.relative_to(ROOT)}"
        return f"{self.name:24}{self.seconds:5.0f} s  {self.outcome}{place}"


def missing(parts):
    """What is missing for these parts, by the name of the part."""
    command = [ROOT / ".ci/install", "--missing", *parts]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = {}
    for _, _, needed_by, name in (line.split(" ", 3) for line in lines):
        for part in needed_by.split(","):
            found.setdefault(part, []).append(name)
    return found


def run(parts):
    """Runs the parts, some of them beside each other."""
    named = {part.name: part for part in parts}
    background = named.get(IN_BACKGROUND)
    installing = threading.Thread(target=background.run) if background else None
    if installing:
        installing.start()
    first = named.get(FIRST)
    if first:
        first.run()

    def start(part):
        if first and not first.passed:
            return
        if installing and part.name not in WITHOUT_TOOLS:
            installing.join()
            if not background.passed:
                return
        part.run()

    for part in parts:
        if part.name in ALONE:
            start(part)
    known = {name for names in LONGEST_FIRST for name in names} | ALONE | {IN_BACKGROUND, FIRST}
    others = [[name] for name in named if name not in known]

    def start_all(names):
        for name in names:
            if name in named:
                start(named[name])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(start_all, LONGEST_FIRST + others))
    if installing:
        installing.join()


def main():
    # In the background, or under `nohup`, it is ignored, and whatever the parts start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LOGS.mkdir(parents=True, exist_ok=True)
    parts = [Part(name) for name in sys.argv[1:]]
    lacking = missing(sys.argv[1:])
    for part in parts:
        part.log.unlink(missing_ok=True)
        part.lacks(lacking.get(part.name))
    start = time.monotonic()
    try:
        run(parts)
    except KeyboardInterrupt:
        sys.exit("\nstopped")
    finally:
        for part in parts:
            part.stop()
    total = time.monotonic() - start
    print("\n".join(["", *map(str, parts), f"{'all':24}{total:5.0f} s"]))
    sys.exit(not all(part.passed for part in parts))


if __name__ == "__main__":
    main()
