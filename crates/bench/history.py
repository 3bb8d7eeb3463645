#!/usr/bin/env python3
"""Measures `heartbeatctl history` on 30 days of one server in DynamoDB Local: `make bench`.

Reads 43,200 rows five times in each form, and prints the median time and the largest resident memory.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
LOCAL = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
TABLES = {"SERVERS_TABLE": "heartbeat-servers", "METRICS_TABLE": "heartbeat-metrics"}
ENVIRONMENT = LOCAL | TABLES | {"AWS_ENDPOINT_URL_DYNAMODB": os.environ["AWS_ENDPOINT_URL_DYNAMODB"]}
FORMS = (["--csv"], ["--json"], ["--csv", "--every", "1h"], [])
ROUNDS = 5


def measure(arguments):
    """The seconds that a run takes, its memory in MB, and its lines."""
    command = [TARGET / "tools-release/heartbeatctl", "history", "db-1", "--since", "30d", *arguments]
    started = time.monotonic()
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        lines = process.stdout.read().count(b"\n")
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    return time.monotonic() - started, usage.ru_maxrss / 1024, lines


subprocess.run([TARGET / "debug/demo", "--days", "30", "--only", "db-1"], env=ENVIRONMENT, check=True)
print("| form | lines | time, s | memory, MB |\n| --- | ---: | ---: | ---: |")
for form in FORMS:
    times, memory, lines = zip(*(measure(form) for _ in range(ROUNDS)))
    name = f"`{' '.join(form)}`" if form else "charts"
    print(f"| {name} | {lines[0]} | {statistics.median(times):.2f} | {max(memory):.0f} |", flush=True)
