"""openapi.json is valid, true of the running function, and usable by a common client generator."""

import datetime
import os
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

from conftest import ROOT

HERE = Path(__file__).parent
DOCUMENT = ROOT / "openapi.json"


def test_the_document_is_valid():
    run("openapi-spec-validator", DOCUMENT)


def test_every_answer_conforms(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # schemathesis writes its findings to the working directory
    run(
        "schemathesis",
        *("--config-file", HERE / "schemathesis.toml"),
        *("run", DOCUMENT, "--url", function.base_url, "--continue-on-failure"),
        HEARTBEAT_API_KEY=function.api_key,
        PYTHONPATH=HERE,
    )


def test_a_generated_client_sends_a_heartbeat(function, tmp_path, monkeypatch):
    package = tmp_path / "heartbeat_client"
    options = ["--meta", "none", "--output-path", package, "--fail-on-warning"]
    run("openapi-python-client", "generate", "--path", DOCUMENT, *options)
    monkeypatch.syspath_prepend(tmp_path)
    from heartbeat_client import AuthenticatedClient
    from heartbeat_client.api.agents import send_heartbeat
    from heartbeat_client.models import Heartbeat, HeartbeatResponse, Metrics, OsInfo

    client = AuthenticatedClient(function.base_url, function.api_key, prefix="", auth_header_name="X-API-Key")
    answer = send_heartbeat.sync_detailed(
        client=client,
        body=Heartbeat(
            server_id="generated-client",
            hostname="generated-client.example",
            timestamp=datetime.datetime.now(datetime.timezone.utc),
            os_info=OsInfo(distribution="Debian GNU/Linux", version="12 (bookworm)"),
            metrics=Metrics(cpu_percent=23.5, uptime_seconds=86400, load_1m=None),
        ),
        idempotency_key="generated-client-1",
    )
    assert answer.status_code == HTTPStatus.OK
    assert isinstance(answer.parsed, HeartbeatResponse)
    assert answer.parsed.server_registered
    assert answer.parsed.pending_commands == []


def run(program, *arguments, **environment):
    """Runs a program of this Python's environment; it must succeed."""
    directory = os.path.dirname(sys.executable)
    environment = os.environ | {"PATH": f"{directory}:{os.environ['PATH']}"} | environment
    subprocess.run([program, *arguments], env=environment, check=True)
