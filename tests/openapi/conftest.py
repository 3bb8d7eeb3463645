"""The function that openapi.json is tested against.

It is the one at `HEARTBEAT_URL`, with the key in `HEARTBEAT_API_KEY`. Without these variables, one is started for the
tests, on a database of its own.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from local import free_port

ROOT = Path(__file__).parents[2]
PATH = "/api/v1/agents/heartbeat"


@dataclass
class Function:
    """A running function: its base URL and an API key."""

    base_url: str
    api_key: str


@pytest.fixture(scope="session")
def function(tmp_path_factory):
    if url := os.environ.get("HEARTBEAT_URL"):
        yield Function(url.removesuffix(PATH), os.environ["HEARTBEAT_API_KEY"])
        return
    directory = tmp_path_factory.mktemp("function")
    log = directory / "log"
    function_port = free_port()
    environment = os.environ | {
        "DYNAMODB_PORT": str(free_port()),
        "FUNCTION_PORT": str(function_port),
        "LOCAL_DATA": str(directory / "dynamodb.sqlite"),
    }
    run = [sys.executable, ROOT / "crates" / "dev" / "run.py"]
    with log.open("w") as output:
        process = subprocess.Popen(run, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        while "is up" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield Function(f"http://127.0.0.1:{function_port}/lambda-url/heartbeat", "local-development-key")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
