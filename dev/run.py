#!/usr/bin/env python3
"""The function on this machine: `make run`.

Starts the embedded DynamoDB and `cargo lambda watch`, waits until both answer, prints what to type next,
and stops both on Ctrl-C. Needs Rust and Python 3 with pip. DYNAMODB_PORT and FUNCTION_PORT name other
ports, LOCAL_DATA another file for the data.
"""

import contextlib
import hashlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent
TOOLS = ROOT / "target" / "tools"
CARGO_LAMBDA = TOOLS / "bin" / "cargo-lambda"
PINS = ROOT / "tests" / "deployment" / "requirements.txt"
API_KEY = "local-development-key"
DYNAMODB_PORT = int(os.environ.get("DYNAMODB_PORT", "8000"))
FUNCTION_PORT = int(os.environ.get("FUNCTION_PORT", "9000"))
DATA = os.environ.get("LOCAL_DATA", "target/local-dynamodb.sqlite")
URL = f"http://127.0.0.1:{FUNCTION_PORT}/lambda-url/heartbeat/api/v1/agents/heartbeat"
SETTINGS = {
    "API_KEY_SHA256": hashlib.sha256(API_KEY.encode()).hexdigest(),
    "SERVERS_TABLE": "heartbeat-servers",
    "METRICS_TABLE": "heartbeat-metrics",
    "KEYS_TABLE": "heartbeat-keys",
    "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{DYNAMODB_PORT}",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}
# What a command needs to reach this DynamoDB.
LOCAL = ("KEYS_TABLE", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
READY = f"""
The heartbeat endpoint is up. Send it a heartbeat:

  curl -i {URL} -H 'X-API-Key: {API_KEY}' -d '{{"server_id":"my-server","hostname":"my-server.lan","timestamp":"2026-01-18T10:30:00Z","metrics":{{"cpu_percent":23.5}}}}'

or this machine's own, every minute:

  cargo run --example agent -- --url {URL} --api-key {API_KEY}

or one of the events:

  {CARGO_LAMBDA.relative_to(ROOT)} lambda invoke --invoke-address 127.0.0.1 --invoke-port {FUNCTION_PORT} --data-file events/heartbeat.json

The key {API_KEY} is in the function's environment. Another kind lives in a table; this makes one for a server:
{" ".join(f"{name}={SETTINGS[name]}" for name in LOCAL)} cargo run --quiet --package heartbeatctl -- keys add my-server

Ctrl-C stops it."""


def install():
    """Fetches cargo-lambda into an environment of the project's own, unless it is there."""
    if not CARGO_LAMBDA.exists():
        pinned = next(line for line in PINS.read_text().splitlines() if line.startswith("cargo-lambda=="))
        print(f"Fetching {pinned} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
        subprocess.run([TOOLS / "bin" / "pip", "install", "--quiet", pinned], check=True)


def check_port(port, variable):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"Port {port} is in use. Stop what listens there, or name another one: {variable}=… make run")


@contextlib.contextmanager
def running(*command):
    """A program with a process group of its own, so that what it starts is stopped with it."""
    program = subprocess.Popen(command, cwd=ROOT, env=os.environ | SETTINGS, start_new_session=True)
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(5)
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def wait_for(url, status, program, patience):
    """Waits until a GET of the URL is answered with this status."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if program.poll() is not None:
            sys.exit(f"{program.args[0]} stopped before it answered.")
        try:
            answered = urllib.request.urlopen(url, timeout=patience).status
        except urllib.error.HTTPError as refusal:
            answered = refusal.code
        except OSError:
            answered = None
        if answered == status:
            return
        time.sleep(0.2)
    sys.exit(f"{url} did not answer {status} within {patience} s.")


def main():
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    check_port(DYNAMODB_PORT, "DYNAMODB_PORT")
    check_port(FUNCTION_PORT, "FUNCTION_PORT")
    install()
    subprocess.run(["cargo", "build", "--package", "dev", "--example", "agent"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    dynamodb = [target / "debug/dev", "--port", str(DYNAMODB_PORT), "--file", DATA]
    function = [CARGO_LAMBDA, "lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", str(FUNCTION_PORT)]
    with running(*dynamodb) as engine, running(*function) as watcher:
        wait_for(SETTINGS["AWS_ENDPOINT_URL_DYNAMODB"], 200, engine, patience=30)
        wait_for(URL, 405, watcher, patience=300)
        print(READY, flush=True)
        watcher.wait()
        sys.exit("cargo lambda watch has stopped.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except subprocess.CalledProcessError as failure:
        sys.exit(f"{failure.cmd[0]} failed.")
