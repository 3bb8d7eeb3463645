"""Lambda's side of a function: its Runtime API, its environment, its log."""

import base64
import json
import os
import queue
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from stack import DEBUG, ROOT, read

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

# Seconds. A function that takes longer to start or to answer is broken.
TIMEOUT = 15


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
    """A running function, its answers and its log."""

    def __init__(self):
        self._process = None
        self._events = queue.Queue()
        self._answers = queue.Queue()
        self.log = []

    def post(self, body, key=KEY, **headers):
        """Posts a heartbeat as API Gateway passes it on; returns the status and the body of the answer."""
        answer = self.invoke(event(body, {"x-api-key": key, **headers}))
        return answer["statusCode"], json.loads(answer["body"])

    def invoke(self, payload):
        """Invokes the function with an event; returns its answer."""
        self._events.put(payload)
        return self._answers.get(timeout=TIMEOUT)

    def start(self, program, environment, output):
        """Starts the function with this environment and nothing else."""
        self._process = subprocess.Popen([program], env=environment, stdout=output, stderr=output)

    def stop(self, output):
        """Stops the function and reads its log."""
        self._process.kill()
        self._process.wait()
        output.seek(0)
        self.log = [json.loads(line) for line in output]

    def exit_status(self):
        """The exit status of a function that fails to start."""
        return self._process.wait(TIMEOUT)

    def runtime_api(self):
        """The handler for the part of the Runtime API that a function uses."""
        events, answers = self._events, self._answers

        class RuntimeApi(Handler):
            def do_GET(self):
                self.answer(
                    200,
                    events.get(),
                    Lambda_Runtime_Aws_Request_Id=str(uuid.uuid4()),
                    Lambda_Runtime_Deadline_Ms=str(int(time.time() * 1000) + 10_000),
                    Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:us-east-1:123456789012:function:heartbeat",
                    Lambda_Runtime_Trace_Id="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
                )

            def do_POST(self):
                answers.put(self.body())
                self.answer(202)

        return RuntimeApi


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
    function = Function()
    with serving(function.runtime_api()) as runtime_api, tempfile.TemporaryFile("w+") as output:
        environment = settings | {
            "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_NAME": "heartbeat",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_LEVEL": level,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "AWS_REGION": os.environ["AWS_DEFAULT_REGION"],
            "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
        }
        function.start(program, environment, output)
        try:
            yield function
        finally:
            function.stop(output)
