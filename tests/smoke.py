#!/usr/bin/env python3
"""End to end, as a newcomer would do it: starts `make run` on ports of its own, runs the commands that it prints,
sends every event with `cargo lambda invoke`, and checks what DynamoDB holds afterwards.
"""

import datetime
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from local import call, free_port

ROOT = pathlib.Path(__file__).parent.parent
LOCAL = dict(line.split("=", 1) for line in (ROOT / "crates/dev/local.env").read_text().splitlines())
# The status that each event gets, as tests/api/event.rs lists it.
STATUS = {
    name: int(status) for name, status in re.findall(r'\("(\S+)", (\d{3})\)', (ROOT / "tests/api/event.rs").read_text())
}
# The commands of the README's section on heartbeatctl, except its installation.
README = re.search(
    r"^cargo install .*heartbeatctl\n(ctl\(\) (?:.*\n)+?)```", (ROOT / "README.md").read_text(), re.MULTILINE
)[1]


# A sweep after a time without sweeps says so.
GAP = "sweeps are missing: the time since then does not count as silence"


def shell(command, **environment):
    """Runs a command in bash; returns its output."""
    print(f"$ {command}", flush=True)
    finished = subprocess.run(
        ["bash", "-euc", command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, f"{command}: exit {finished.returncode}\n{finished.stdout}"
    return finished.stdout


def items(port, table):
    """All items of a table, except those of the functions."""
    items = call(port, "Scan", TableName=table)["Items"]
    return [item for item in items if not item["server_id"]["S"].startswith("#")]


def check(dynamodb_port, commands):
    curl, invoke, agent, fleet, _, add = commands
    assert "HTTP/1.1 200" in (answer := shell(curl)) and '"server_registered":true' in answer, answer
    assert '"server_registered":false' in shell(curl)
    assert json.loads(shell(f"{agent} ARGS=--once"))["server_registered"] is True
    key = shell(add).strip()
    assert '"server_registered":false' in shell(curl.replace("local-development-key", key))
    shell(add.replace("keys add my-server", "keys revoke my-server --yes"))
    assert "my-server" in shell(fleet)
    for event in sorted((ROOT / "events").glob("*.json")):
        answer = json.loads(shell(invoke.replace("events/heartbeat.json", f"events/{event.name}")))
        assert answer["statusCode"] == STATUS[event.stem], f"{event.name}: {answer}"

    servers = {server["server_id"]["S"]: server for server in items(dynamodb_port, "heartbeat-servers")}
    assert {"my-server", "omv-mediaserver"} < servers.keys() and len(servers) == 3, servers
    assert all(server["status"]["S"] == "online" for server in servers.values()), servers
    rows = items(dynamodb_port, "heartbeat-metrics")
    # Three rows come from curl, one from the agent, and eleven from the events: of the twelve that are accepted, one has
    # no metrics.
    assert len(rows) == 3 + 1 + 11, rows
    seen = {"S": "2026-01-18T10:30:00.000000Z"}
    silent = {"server_id": {"S": "silent"}, "status": {"S": "online"}, "last_seen": seen}
    call(dynamodb_port, "PutItem", TableName="heartbeat-servers", Item=silent)
    # As if sweeps had been running: the first one judges nobody.
    swept_at = {"S": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%S}Z"}
    own = {"server_id": {"S": "#watchdog"}, "swept_at": swept_at}
    call(dynamodb_port, "PutItem", TableName="heartbeat-servers", Item=own)
    sweep = invoke.replace("invoke heartbeat", "invoke watchdog")
    shell(sweep.replace("--data-file events/heartbeat.json", "--data-ascii '{}'"))
    servers = {server["server_id"]["S"]: server["status"]["S"] for server in items(dynamodb_port, "heartbeat-servers")}
    assert servers.pop("silent") == "offline" and set(servers.values()) == {"online"}, servers
    agent_row = next(row for row in rows if row["server_id"]["S"] not in ("my-server", "omv-mediaserver"))
    assert int(agent_row["memory_total_mb"]["N"]) > 0, agent_row


def check_readme(dynamodb_port, function_port):
    """Runs the commands of the README's section on heartbeatctl, with the ports of this test."""
    path = f"{ROOT / os.environ.get('CARGO_TARGET_DIR', 'target') / 'debug'}:{os.environ['PATH']}"
    here = LOCAL | {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamodb_port}"}
    settings = "\n".join(f"{name}={value}" for name, value in here.items()).replace(":9000", f":{function_port}")
    commands = README.replace("$(cat crates/dev/local.env)", f"$(cat <<END\n{settings}\nEND\n)")
    commands = commands.replace(":9000", f":{function_port}")
    ctl, commands = commands.split("\n\n", 1)
    revoke = commands.index("ctl keys revoke")
    output = shell(f"{ctl}\n{commands[:revoke]}\necho $key", PATH=path)
    assert output.count('"status":"ok"') == 2 and "1 offline" in output, output
    key = re.search(r"hb_[\w-]{43}$", output.strip())[0]
    shell(f"{ctl}\n{commands[revoke:]}", PATH=path)
    servers = [server["server_id"]["S"] for server in items(dynamodb_port, "heartbeat-servers")]
    assert "my-server" not in servers, servers
    time.sleep(2 * float(LOCAL["KEY_CACHE_SECONDS"]))
    rejected = commands[commands.index("curl") : revoke].replace("curl ", "curl -i ")
    assert "401" in shell(f"key={key}\n{rejected}")


class Webhook(http.server.BaseHTTPRequestHandler):
    """Where the announcements of `make run` go."""

    received = []

    def do_POST(self):
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def check_announcement():
    """The watchdog has announced the silent server, and `notify` has passed it on."""
    until = time.monotonic() + 60
    while not Webhook.received and time.monotonic() < until:
        time.sleep(0.2)
    (message,) = Webhook.received
    assert [server["server_id"] for server in message["offline"]] == ["silent"], message


def check_log(output):
    """The only warnings are about rejected heartbeats, the silent server, and what may be wrong with this machine."""
    log = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    warnings = [line["message"] for line in log if line["level"] in ("WARN", "ERROR")]
    assert set(warnings) <= {"rejected", "server offline", "problem", GAP}, output
    assert " failed: " not in output, output


def main():
    dynamodb_port, function_port = free_port(), free_port()
    webhook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    urls = f"json:http://127.0.0.1:{webhook.server_port}/announcements"
    with tempfile.TemporaryDirectory() as folder:
        ports = {"DYNAMODB_PORT": str(dynamodb_port), "FUNCTION_PORT": str(function_port)}
        environment = os.environ | ports | {"LOCAL_DATA": f"{folder}/data.sqlite", "WEBHOOK_URLS": urls}
        run = [sys.executable, "crates/dev/run.py"]
        stack = subprocess.Popen(run, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            commands = []
            for line in stack.stdout:
                print(line, end="", flush=True)
                if line.startswith("  "):
                    commands.append(line.strip())
                if line.startswith("Ctrl-C"):
                    break
            assert len(commands) == 6, "make run did not come up"
            os.environ |= ports | {"MAKEFLAGS": "--silent --no-print-directory"}
            check(dynamodb_port, commands)
            check_announcement()
            check_readme(dynamodb_port, function_port)
            for port in (dynamodb_port, function_port):
                with socket.socket() as probe:
                    assert probe.connect_ex(("127.0.0.2", port)) != 0, f"port {port} is open beyond 127.0.0.1"
            second = subprocess.run(run, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
            assert second.returncode == 1 and second.stderr.startswith(f"Port {dynamodb_port} is in use."), second
        finally:
            stack.send_signal(signal.SIGINT)
            output, _ = stack.communicate(timeout=60)
        assert stack.returncode == 0, stack.returncode
        check_log(output)
        for port in (dynamodb_port, function_port):
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is still open"
    print("smoke test passed")


if __name__ == "__main__":
    main()
