"""The function that the description is tried against.

It is the one at `HEARTBEAT_URL`, whose key is `HEARTBEAT_API_KEY`; without these, one that is started for
the tests, on a database of its own.
"""

import hashlib
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = "/api/v1/agents/heartbeat"
PATIENCE = 300  # seconds, for a build from nothing


@dataclass
class Function:
    """A running function: where its API begins, and a key to it."""

    base_url: str
    api_key: str


@pytest.fixture(scope="session")
def function(tmp_path_factory):
    if url := os.environ.get("HEARTBEAT_URL"):
        yield Function(url.removesuffix(PATH), os.environ["HEARTBEAT_API_KEY"])
        return
    directory = tmp_path_factory.mktemp("function")
    api_key = secrets.token_hex()
    database, port = free_port(), free_port()
    environment = {
        **os.environ,
        "API_KEY_SHA256": hashlib.sha256(api_key.encode()).hexdigest(),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{database}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "local",
        "METRICS_TABLE": "heartbeat-metrics",
        "SERVERS_TABLE": "heartbeat-servers",
    }
    local_dynamodb = ["cargo", "run", "-q", "--example", "local_dynamodb", "--", "--port", str(database)]
    watch = ["cargo", "lambda", "watch", "--ignore-changes", "-A", "127.0.0.1", "-P", str(port)]
    base_url = f"http://127.0.0.1:{port}/lambda-url/heartbeat"
    with (
        running([*local_dynamodb, "--file", str(directory / "heartbeat.sqlite")], environment, directory / "dynamodb.log"),
        running(watch, environment, directory / "function.log"),
    ):
        await_answer(f"http://127.0.0.1:{database}")
        await_answer(base_url)
        yield Function(base_url, api_key)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running(command, environment, log):
    """Runs a program of the repository, and ends it."""
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def await_answer(url):
    """Waits for any answer at all, also one of refusal."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
