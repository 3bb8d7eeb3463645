"""API Gateway and Lambda, as far as the page needs them: requests over TLS become events for the function, and its answers
responses."""

import base64
import json
import queue
import ssl
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class RuntimeApi:
    """Hands out events one at a time, and waits for the answer to each."""

    def __init__(self):
        self.events = queue.Queue()
        self.answers = {}

    def invoke(self, event):
        """Invokes the function; returns its answer."""
        request_id, answer = str(uuid.uuid4()), queue.Queue()
        self.answers[request_id] = answer
        self.events.put((request_id, event))
        return answer.get(timeout=30)

    def handler(self):
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self):
                request_id, event = runtime.events.get()
                content = json.dumps(event).encode()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 28_000))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:page")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                # Lambda passes on 6 MB.
                assert len(content) < 6 * 2**20
                runtime.answers.pop(self.path.split("/")[-2]).put(json.loads(content))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler


def gateway(runtime):
    """The handler of the HTTP API. Like API Gateway, it renames WWW-Authenticate."""

    class Gateway(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do(self):
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            cookies = headers.pop("cookie", None)
            url = urlsplit(self.path)
            http = {"method": self.command, "path": url.path, "protocol": "HTTP/1.1"}
            answer = runtime.invoke(
                {
                    "version": "2.0",
                    "routeKey": "$default",
                    "rawPath": url.path,
                    "rawQueryString": url.query,
                    "headers": headers,
                    **({"cookies": cookies.split("; ")} if cookies else {}),
                    "requestContext": {
                        "apiId": "api",
                        "domainName": headers.get("host"),
                        "http": http | {"sourceIp": "192.0.2.1", "userAgent": "test"},
                        "requestId": "request",
                        "routeKey": "$default",
                        "stage": "$default",
                        "timeEpoch": int(time.time() * 1000),
                    },
                    "body": base64.b64encode(self.rfile.read(length)).decode(),
                    "isBase64Encoded": True,
                }
            )
            body = answer.get("body") or ""
            content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
            self.send_response(answer["statusCode"])
            for name, value in (answer.get("headers") or {}).items():
                if name.lower() != "content-length":
                    renamed = "x-amzn-remapped-www-authenticate" if name.lower() == "www-authenticate" else name
                    self.send_header(renamed, value)
            for cookie in answer.get("cookies") or []:
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_TRACE = do

        def log_message(self, *_):
            pass

    return Gateway


@contextmanager
def serving(handler, certificate=None):
    """A server on a free port, over TLS if there is a certificate; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def make_certificate(folder):
    """A certificate for this machine, with its key."""
    file = folder / "certificate.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout {file} -out {file}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / f"{file.name}.crt").read_text())
    return file


@contextmanager
def deployed(program, environment, certificate):
    """The function behind its API; the URL of the page."""
    runtime = RuntimeApi()
    with serving(runtime.handler()) as api, serving(gateway(runtime), certificate) as port:
        variables = environment | {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_NAME": "page",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_LEVEL": "WARN",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api}",
        }
        process = subprocess.Popen([program], env=variables, stdout=subprocess.DEVNULL)
        try:
            yield f"https://localhost:{port}"
        finally:
            process.kill()
            process.wait()
