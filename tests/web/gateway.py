"""API Gateway, as far as the page needs it: requests over TLS become events for the function, and its answers responses."""

import base64
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from local import started


def gateway(invoke):
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
            answer = invoke(
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
def deployed(program, environment, certificate, level="WARN", output=subprocess.DEVNULL):
    """The function behind its API; the URL of the page."""
    with started(program, environment | {"AWS_LAMBDA_LOG_LEVEL": level}, output) as (_, invoke):
        with serving(gateway(invoke), certificate) as port:
            yield f"https://localhost:{port}"
