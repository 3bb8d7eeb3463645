"""What tests of programs on this machine share."""

import json
import os
import re
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The folder of the debug builds.
DEBUG = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"

# Seconds. A function that takes longer to start or to answer is broken: it has ten until its deadline.
TIMEOUT = 30


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(port, operation, **parameters):
    """Calls an operation of a local DynamoDB; returns the response."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260118/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20260118T103000Z",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(parameters).encode(), headers)
    return json.load(urllib.request.urlopen(request))


@contextmanager
def dev(*arguments):
    """Runs a part of crates/dev; yields its URL, and what it prints from then on."""
    with subprocess.Popen([DEBUG / "dev", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://[\d.]+:\d+", process.stdout.readline())[0], process.stdout
        finally:
            process.kill()


@contextmanager
def started(program, settings, output=subprocess.DEVNULL):
    """Runs the program of a function with these settings and those that Lambda sets, and nothing else; yields the process, and
    a function that invokes it with an event and returns its answer."""
    with dev("lambda") as (url, _):
        environment = {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_NAME": program.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_RUNTIME_API": url.removeprefix("http://"),
        }

        def invoke(event):
            invocation = f"{url}/2015-03-31/functions/{program.name}/invocations"
            with urllib.request.urlopen(invocation, json.dumps(event).encode(), TIMEOUT) as response:
                return json.load(response)

        process = subprocess.Popen([program], env=environment | settings, stdout=output, stderr=output)
        try:
            yield process, invoke
        finally:
            process.kill()
            process.wait()


def pytest_terminal_summary(terminalreporter):
    """Says what was skipped and why, as `crates/dev/test.py` reads it."""
    for reason in {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}:
        terminalreporter.write_line(reason.replace("Skipped: ", "skipped: "))
