#!/usr/bin/env python3
"""The real thing, as a newcomer meets it: starts `make run` on ports of its own, types what it prints,
sends every event with `cargo lambda invoke`, and reads back what DynamoDB holds.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent
STATUS = {
    "missing-key": 401, "wrong-key": 401, "wrong-path": 404, "wrong-method": 405, "too-large": 413,
    "malformed-json": 422, "bad-fields": 422,
}  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shell(command):
    """Types a command; returns what it prints."""
    print(f"$ {command}", flush=True)
    finished = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=600)
    assert finished.returncode == 0, f"{command}: exit {finished.returncode}\n{finished.stdout}"
    return finished.stdout


def call(port, operation, **parameters):
    """What DynamoDB answers."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260118/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20260118T103000Z",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(parameters).encode(), headers)
    return json.load(urllib.request.urlopen(request))


def items(port, table):
    """Everything in a table."""
    return call(port, "Scan", TableName=table)["Items"]


def check(dynamodb_port, commands):
    curl, invoke, agent, fleet, add = commands
    assert "HTTP/1.1 200" in (answer := shell(curl)) and '"server_registered":true' in answer, answer
    assert '"server_registered":false' in shell(curl)
    assert json.loads(shell(agent.replace("=agent", "='agent --once'")))["server_registered"] is True
    key = shell(add).strip()
    assert '"server_registered":false' in shell(curl.replace("local-development-key", key))
    shell(add.replace("keys add my-server", "keys revoke my-server --yes"))
    assert "my-server" in shell(fleet)
    for event in sorted((ROOT / "events").glob("*.json")):
        answer = json.loads(shell(invoke.replace("events/heartbeat.json", f"events/{event.name}")))
        assert answer["statusCode"] == STATUS.get(event.stem, 200), f"{event.name}: {answer}"

    servers = {server["server_id"]["S"]: server for server in items(dynamodb_port, "heartbeat-servers")}
    assert {"my-server", "omv-mediaserver"} < servers.keys() and len(servers) == 3, servers
    assert all(server["status"]["S"] == "online" for server in servers.values()), servers
    rows = items(dynamodb_port, "heartbeat-metrics")
    # Three by curl, one by the agent, and six of the seven events that are accepted have metrics, of which
    # one names itself.
    assert len(rows) == 3 + 1 + 6, rows
    silent = {"server_id": {"S": "silent"}, "status": {"S": "online"}, "last_seen": {"S": "2026-01-18T10:30:00.000000Z"}}
    call(dynamodb_port, "PutItem", TableName="heartbeat-servers", Item=silent)
    shell(invoke.replace("invoke heartbeat", "invoke watchdog").replace("--data-file events/heartbeat.json", "--data-ascii '{}'"))
    servers = {server["server_id"]["S"]: server["status"]["S"] for server in items(dynamodb_port, "heartbeat-servers")}
    assert servers.pop("silent") == "offline" and set(servers.values()) == {"online"}, servers
    agent_row = next(row for row in rows if row["server_id"]["S"] not in ("my-server", "omv-mediaserver"))
    assert int(agent_row["memory_total_mb"]["N"]) > 0, agent_row


def check_log(output):
    """The watchdog has said what it would announce, and nobody has warned of anything but rejected heartbeats."""
    log = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [line["subject"] for line in log if "subject" in line] == ["silent is offline"], output
    assert [line for line in log if line["level"] in ("WARN", "ERROR") and line["message"] not in ("rejected", "server offline")] == [], output
    assert "The sweep failed" not in output, output


def main():
    dynamodb_port, function_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        ports = {"DYNAMODB_PORT": str(dynamodb_port), "FUNCTION_PORT": str(function_port)}
        environment = os.environ | ports | {"LOCAL_DATA": f"{folder}/data.sqlite"}
        run = [sys.executable, "dev/run.py"]
        stack = subprocess.Popen(run, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            commands = []
            for line in stack.stdout:
                print(line, end="", flush=True)
                if line.startswith("  "):
                    commands.append(line.strip())
                if line.startswith("Ctrl-C"):
                    break
            assert len(commands) == 5, "make run did not come up"
            os.environ |= ports | {"MAKEFLAGS": "--silent --no-print-directory"}
            check(dynamodb_port, commands)
            second = subprocess.run(run, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
            assert second.returncode == 1 and second.stderr.startswith(f"Port {dynamodb_port} is in use."), second
        finally:
            stack.send_signal(signal.SIGINT)
            output, _ = stack.communicate(timeout=60)
        assert stack.returncode == 0, stack.returncode
        check_log(output)
        for port in (dynamodb_port, function_port):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is still served"
    print("smoke test passed")


if __name__ == "__main__":
    main()
