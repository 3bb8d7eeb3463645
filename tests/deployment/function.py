"""Lambda's side of a function: its events, its environment, its log."""

import base64
import json
import os
import tempfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from local import DEBUG, ROOT, TIMEOUT, started
from stack import read

# The folder in which SAM has built the functions. Without it, they are those of `cargo test`.
BUILD = os.environ.get("FUNCTIONS")


def program(name):
    """The program of a function of the template."""
    if BUILD:
        return ROOT / BUILD / name / "bootstrap"
    return DEBUG / read()["Resources"][name]["Metadata"]["BuildProperties"]["Binary"]


HEARTBEAT, WATCHDOG, NOTIFY = map(program, ("HeartbeatFunction", "WatchdogFunction", "NotifyFunction"))
KEY = "the key of the tests"
ROUTE = "/api/v1/agents/heartbeat"


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of a connection one after another, each with a single write."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def body(self):
        """The body of the request, read as JSON."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, body=None, **headers):
        """Sends this status with these headers, and a JSON body if one is given."""
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    """An HTTP server on a free port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Function:
    """A running function, and, once it has ended, its log."""

    def __init__(self, process, invoke):
        self._process = process
        # Invokes the function with an event; returns its answer.
        self.invoke = invoke
        self.log = []

    def post(self, body, key=KEY, **headers):
        """Posts a heartbeat as API Gateway passes it on; returns the status and the body of the answer."""
        answer = self.invoke(event(body, {"x-api-key": key, **headers}))
        return answer["statusCode"], json.loads(answer["body"])

    def exit_status(self):
        """The exit status of a function that fails to start."""
        return self._process.wait(TIMEOUT)


def event(body, headers):
    """A payload of an HTTP API, format 2.0."""
    return {
        "version": "2.0",
        "routeKey": f"POST {ROUTE}",
        "rawPath": ROUTE,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {
            "apiId": "api",
            "http": {
                "method": "POST",
                "path": ROUTE,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "request",
            "routeKey": f"POST {ROUTE}",
            "stage": "$default",
            "timeEpoch": 1767225600000,
        },
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def running(settings, dynamodb, level="INFO", program=HEARTBEAT):
    """Runs the program of a function with these settings and those that Lambda sets.

    Its log is available once it has ended.
    """
    aws = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = {name: os.environ[name] for name in aws} | {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "AWS_LAMBDA_LOG_LEVEL": level,
        "AWS_REGION": os.environ["AWS_DEFAULT_REGION"],
    }
    with tempfile.TemporaryFile("w+") as output:
        with started(program, settings | environment, output) as (process, invoke):
            function = Function(process, invoke)
            yield function
        output.seek(0)
        function.log = [json.loads(line) for line in output]
