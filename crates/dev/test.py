#!/usr/bin/env python3
"""Runs targets of the Makefile as parts of one test: `make test`, `make lint`, `.ci/run`.

    crates/dev/test.py tools programs test-code test-web …

Each part's output is in target/test-logs. At the end there is one line per part, with its time and, if it failed, with the
place of its log. A failed part does not stop the others, but `tools` and `programs` stop those that need them.
"""

import os
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
    ["test-code"],
    ["test-dynamodb-local"],
    ["soak", "soak-short"],
]
# These need none of the tools.
WITHOUT_TOOLS = {FIRST, "format", "clippy", "doc", "baselines", "deny", "test-code", "test-dynamodb-local", "soak-short"}
# What a failed part printed last is shown at once.
SHOWN_LINES = 60


class Part:
    """A target of the Makefile, its log, and how it ended."""

    def __init__(self, name):
        self.name = name
        self.log = LOGS / f"{name}.log"
        self.outcome = "not run"
        self.seconds = 0
        self.process = None

    def run(self):
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
        if self.passed:
            self.outcome = "; ".join(["passed", *(line for line in self.lines() if line.startswith("skipped: "))])
        else:
            print("\n".join([f"{self.name} failed:", *self.lines()[-SHOWN_LINES:], ""]), flush=True)
        print(self, flush=True)

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()

    @property
    def passed(self):
        return self.outcome.startswith("passed")

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def __str__(self):
        place = "" if self.passed or not self.log.exists() else f"  {self.log.relative_to(ROOT)}"
        return f"{self.name:24}{self.seconds:5.0f} s  {self.outcome}{place}"


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
    LOGS.mkdir(parents=True, exist_ok=True)
    parts = [Part(name) for name in sys.argv[1:]]
    for part in parts:
        part.log.unlink(missing_ok=True)
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
