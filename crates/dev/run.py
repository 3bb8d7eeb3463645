#!/usr/bin/env python3
"""Runs the functions on this machine: `make run`.

Starts the embedded DynamoDB, the functions, and the Lambda of `cargo lambda watch` between them and whoever calls; waits
until they respond, prints what to type next, invokes the watchdog every minute, and stops everything on Ctrl-C. Cargo
Lambda does not start the functions itself, because it would compile them and the SDK a second time, with the features of
the functions alone. Needs Rust and Python 3 with pip. DYNAMODB_PORT and FUNCTION_PORT set other ports, LOCAL_DATA a
different file for the data. With WEBHOOK_URLS, announcements go there through `notify`. With PAGE_PASSWORD_SHA256, the function
`page` runs, too.
"""

import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import tools

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = ROOT / "target" / "tools"
CARGO_LAMBDA = TOOLS / "bin" / "cargo-lambda"
DEBUG = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
PINS = ROOT / "tests" / "deployment" / "requirements.txt"
LOCAL = dict(line.split("=", 1) for line in (ROOT / "crates" / "dev" / "local.env").read_text().splitlines())
DYNAMODB_PORT = int(os.environ.get("DYNAMODB_PORT", "8000"))
FUNCTION_PORT = int(os.environ.get("FUNCTION_PORT", "9000"))
DATA = os.environ.get("LOCAL_DATA", "target/local-dynamodb.sqlite")
FUNCTIONS = sorted(file.stem for file in (ROOT / "src" / "bin").iterdir())
# These run only with the setting that they cannot do without.
ON_DEMAND = {"notify": "WEBHOOK_URLS", "page": "PAGE_PASSWORD_SHA256"}
URL = LOCAL["HEARTBEAT_URL"].replace(":9000", f":{FUNCTION_PORT}")
KEY = LOCAL["HEARTBEAT_API_KEY"]
SETTINGS = LOCAL | {
    "API_KEY_SHA256": hashlib.sha256(KEY.encode()).hexdigest(),
    "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{DYNAMODB_PORT}",
}
SWEEP_EVERY = 60  # seconds
READY = f"""
The endpoint is up, and the watchdog sweeps every minute. Send a heartbeat:

  curl -i {URL} -H 'X-API-Key: {KEY}' -d '{{"server_id":"my-server","hostname":"my-server.lan","timestamp":"2026-01-18T10:30:00Z","metrics":{{"cpu_percent":23.5}}}}'

Send one of the sample events:

  {CARGO_LAMBDA.relative_to(ROOT)} lambda invoke heartbeat --invoke-address 127.0.0.1 --invoke-port {FUNCTION_PORT} --data-file events/heartbeat.json

Send this machine's own heartbeat every minute, show the fleet, and create a key for one server:

  make agent
  make ctl ARGS=fleet
  make web
  make ctl ARGS='keys add my-server'

Ctrl-C stops it."""


def install():
    """Installs cargo-lambda into the project's own environment, unless it is installed."""
    pinned = next(line.split()[0] for line in PINS.read_text().splitlines() if line.startswith("cargo-lambda=="))
    tools.install(TOOLS / "run-ready", pinned)


def check_port(port, variable):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            sys.exit(f"Port {port} is in use. Stop the program that uses it, or set another: {variable}=… make run")


@contextlib.contextmanager
def running(*command, environment=None, **options):
    """Runs a program in its own process group, so that the processes that it starts are stopped with it."""
    variables = os.environ | SETTINGS | (environment or {})
    program = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **options)
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(5)
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def wait_for(url, status, program, timeout):
    """Waits until a GET of the URL returns this status."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if program.poll() is not None:
            sys.exit(f"{program.args[0]} stopped before it responded.")
        try:
            received = urllib.request.urlopen(url, timeout=timeout).status
        except urllib.error.HTTPError as error:
            received = error.code
        except OSError:
            received = None
        if received == status:
            return
        time.sleep(0.2)
    sys.exit(f"{url} did not respond with {status} within {timeout} s.")


def wait_for_port(port, program, timeout):
    """Waits until a program listens."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if program.poll() is not None:
            sys.exit(f"{program.args[0]} stopped before it listened.")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"{program.args[0]} did not listen on port {port} within {timeout} s.")


def function(name):
    """Runs a function as Lambda does."""
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{FUNCTION_PORT}/.rt/{name}",
    }
    return running(DEBUG / name, environment=environment)


def invoke(function, event, timeout):
    """Invokes a function, and says so if it fails."""
    try:
        url = f"http://127.0.0.1:{FUNCTION_PORT}/2015-03-31/functions/{function}/invocations"
        urllib.request.urlopen(url, json.dumps(event).encode(), timeout=timeout)
    except OSError as error:
        print(f"{function} failed: {error}", flush=True)


def sweep():
    """Invokes the watchdog, as the scheduler does on AWS. Without webhooks, its announcements are logged."""
    invoke("watchdog", {"time": datetime.datetime.now(datetime.timezone.utc).isoformat()}, SWEEP_EVERY)


def notify(subject, message):
    """Passes a message on to the webhooks."""
    sns = {"Subject": subject, "Message": message["default"]}
    invoke("notify", {"Records": [{"EventSource": "aws:sns", "Sns": sns}]}, 150)


@contextlib.contextmanager
def topic(*subscribers):
    """The topic, if there is anybody to whom its messages go."""
    if os.environ.get("WEBHOOK_URLS"):
        subscribers += (notify,)
    if not subscribers:
        yield
        return
    with running(DEBUG / "dev", "topic", stdout=subprocess.PIPE, text=True) as program:
        SETTINGS["AWS_ENDPOINT_URL_SNS"] = program.stdout.readline().strip()
        SETTINGS["ALERT_TOPIC_ARN"] = "arn:aws:sns:us-east-1:000000000000:alerts"
        threading.Thread(target=hand_out, args=(program.stdout, subscribers), daemon=True).start()
        yield


def hand_out(published, subscribers):
    """Hands each message that is published to those who subscribed."""
    for form in map(json.loads, published):
        for receive in subscribers:
            threading.Thread(target=receive, args=(form["Subject"], json.loads(form["Message"])), daemon=True).start()


def prepare(*besides):
    """Installs and builds the functions, the database, and these programs besides."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    check_port(DYNAMODB_PORT, "DYNAMODB_PORT")
    check_port(FUNCTION_PORT, "FUNCTION_PORT")
    install()
    # With the features of the whole workspace, as the tests and `make ctl` build it: nothing is compiled twice.
    programs = [part for name in ("dev", *FUNCTIONS, *besides) for part in ("--bin", name)]
    subprocess.run(["cargo", "build", "--locked", "--workspace", *programs], cwd=ROOT, check=True)


@contextlib.contextmanager
def database(data):
    """The embedded DynamoDB, with this file."""
    with running(DEBUG / "dev", "dynamodb", "--port", str(DYNAMODB_PORT), "--file", data) as program:
        wait_for(SETTINGS["AWS_ENDPOINT_URL_DYNAMODB"], 200, program, timeout=30)
        yield program


@contextlib.contextmanager
def functions():
    """The functions, once the endpoint responds."""
    watch = [CARGO_LAMBDA, "lambda", "watch", "--only-lambda-apis", "--quiet"]
    watch += ["--invoke-address", "127.0.0.1", "--invoke-port", str(FUNCTION_PORT)]
    names = [name for name in FUNCTIONS if name not in ON_DEMAND or os.environ.get(ON_DEMAND[name])]
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(running(*watch, environment={"RUST_LOG": "warn"}))
        wait_for_port(FUNCTION_PORT, watcher, timeout=30)
        started = [stack.enter_context(function(name)) for name in names]
        wait_for(URL, 405, started[0], timeout=30)
        yield [watcher, *started]


def sweep_until_one_stops(programs, every):
    """Sweeps while the programs run, so many seconds apart."""
    while not (stopped := [program for program in programs if program.poll() is not None]):
        sweep()
        with contextlib.suppress(subprocess.TimeoutExpired):
            programs[0].wait(every)
    sys.exit(f"{stopped[0].args[0]} has stopped.")


def main():
    prepare()
    with topic(), database(DATA) as dynamodb, functions() as programs:
        print(READY, flush=True)
        sweep_until_one_stops([dynamodb, *programs], SWEEP_EVERY)


def run_until_interrupted(main):
    """Runs a program that Ctrl-C ends."""
    try:
        main()
    except KeyboardInterrupt:
        pass
    except subprocess.CalledProcessError as failure:
        sys.exit(f"{failure.cmd[0]} failed.")


if __name__ == "__main__":
    run_until_interrupted(main)
