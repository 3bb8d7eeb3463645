#!/usr/bin/env python3
"""The example agent against an endpoint that refuses it in every way: what it repeats, and what it says."""

import collections
import http.server
import json
import pathlib
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).parent.parent
OK = (200, {}, '{"status":"ok"}')
Heartbeat = collections.namedtuple("Heartbeat", "at key name body")


class Endpoint(http.server.ThreadingHTTPServer):
    """Gives the answers of a script, one a request; None closes the connection without one."""

    def __init__(self, *script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.received = list(script), []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def url(self):
        return f"http://127.0.0.1:{self.server_port}/api/v1/agents/heartbeat"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        heartbeat = Heartbeat(time.monotonic(), self.headers["x-api-key"], self.headers["idempotency-key"], body)
        self.server.received.append(heartbeat)
        if (answer := self.server.script.pop(0)) is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, text = answer
        self.send_response(status)
        for name, value in {**headers, "content-length": len(text)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def agent(url, *options):
    command = ["cargo", "run", "--quiet", "--example", "agent", "--", "--url", url, "--api-key", "k", "--once", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_what_may_pass_is_sent_again_under_the_same_name():
    with Endpoint((503, {"retry-after": 2}, "{}"), (429, {}, "{}"), None, (502, {}, "{}"), OK) as endpoint:
        finished = agent(endpoint.url(), "--server-id", "web-1")
    assert (finished.returncode, finished.stdout) == (0, '{"status":"ok"}\n'), finished
    assert len(endpoint.received) == 5
    assert {heartbeat.key for heartbeat in endpoint.received} == {"k"}
    assert len({heartbeat.name for heartbeat in endpoint.received}) == 1
    assert all(heartbeat.body == endpoint.received[0].body for heartbeat in endpoint.received)
    assert endpoint.received[0].body["server_id"] == "web-1"
    assert endpoint.received[1].at - endpoint.received[0].at >= 2


def test_another_refusal_is_final_and_told_in_a_line():
    for status in (400, 401, 403, 404, 413, 422, 500):
        with Endpoint((status, {}, '{"detail":"why"}')) as endpoint:
            finished = agent(endpoint.url())
        assert finished.returncode == 1 and len(endpoint.received) == 1, finished
        assert finished.stderr == f'heartbeat not sent: {status} {{"detail":"why"}}\n', finished


def test_an_endpoint_that_is_not_there_is_told_in_a_line():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        finished = agent(f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert finished.returncode == 1 and finished.stderr.startswith("heartbeat not sent: "), finished
    assert finished.stderr.endswith(", after 5 tries\n") and finished.stderr.count("\n") == 1, finished


if __name__ == "__main__":
    subprocess.run(["cargo", "build", "--quiet", "--example", "agent"], cwd=ROOT, check=True)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(f"agent: {name.removeprefix('test_').replace('_', ' ')}: ok", flush=True)
