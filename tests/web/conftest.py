"""A DynamoDB with the template's tables, both ways of serving the page on it, and a browser."""

import base64
import hashlib
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from gateway import deployed, make_certificate
from local import DEBUG, call, dev, pytest_terminal_summary  # noqa: F401
from playwright.sync_api import sync_playwright

SERVERS, METRICS = "heartbeat-servers", "heartbeat-metrics"
PASSWORD = "abcde-fghij-kmnpq-rstuv"


def stored(time):
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def now():
    return datetime.now(timezone.utc)


class Database:
    """A DynamoDB behind a proxy that counts requests and can reject them."""

    def __init__(self, port):
        self.port = port
        self.counts = {}
        self.is_down = False
        # These operations are rejected, too.
        self.denied = set()
        # So many requests are accepted and never answered.
        self.hanging = 0
        # Seconds by which its clock is ahead of this machine's.
        self.ahead = 0

    def call(self, operation, **parameters):
        return call(self.port, operation, **parameters)

    def server(self, server_id, seen=0, hostname=None, item=None, reading=None, **attributes):
        """Stores a server that was last seen so many seconds ago, with these metrics as its last reading."""
        seen_at = {"S": stored(now() - timedelta(seconds=seen))}
        metrics = {name: {"N": str(value)} for name, value in attributes.items()}
        full = {"M": {"timestamp": seen_at, "received_at": seen_at, **metrics, **(reading or {})}}
        names = {"server_id": {"S": server_id}, "hostname": {"S": hostname or f"{server_id}.example.com"}}
        stored_item = {**names, "status": {"S": "online"}, "last_seen": seen_at, "reading": full, **(item or {})}
        self.call("PutItem", TableName=SERVERS, Item=stored_item)

    def rules(self, offline_after, limits, **attributes):
        """Stores the item of a watchdog that applies these rules, with other attributes of text."""
        item = {"server_id": {"S": "#watchdog"}, "swept_at": {"S": stored(now())}, "limits": {"S": limits}}
        texts = {name: {"S": text} for name, text in attributes.items()}
        self.call("PutItem", TableName=SERVERS, Item=item | texts | {"offline_after": {"N": str(offline_after)}})

    def rows(self, server_id, times, **metrics):
        """Stores a row at each of these times; a metric is a function of its number."""
        requests = []
        for number, time in enumerate(times):
            values = {name: {"N": str(value(number))} for name, value in metrics.items()}
            times = {"timestamp": {"S": stored(time)}, "received_at": {"S": stored(time)}}
            key = {"server_id": {"S": server_id}, "recorded_at": {"S": f"{stored(time)}#{number}"}}
            requests.append({"PutRequest": {"Item": key | times | values}})
        self.write(METRICS, requests)

    def servers(self, count, seen=5, hostname="{}.example.com"):
        """Stores many servers: `web-0`, `web-1`, …"""
        last_seen = {"S": stored(now() - timedelta(seconds=seen))}
        requests = []
        for server_id in (f"web-{number}" for number in range(count)):
            names = {"server_id": {"S": server_id}, "hostname": {"S": hostname.format(server_id)}}
            item = names | {"status": {"S": "online"}, "last_seen": last_seen}
            requests.append({"PutRequest": {"Item": item}})
        self.write(SERVERS, requests)

    def write(self, table, requests):
        for start in range(0, len(requests), 25):
            self.call("BatchWriteItem", RequestItems={table: requests[start : start + 25]})

    def event(self, ago, of="", **lists):
        """Stores an announcement of so many seconds ago, with these lists of entries: of the fleet, or `:web-1`."""
        at = stored(now() - timedelta(seconds=ago))
        said = json.dumps({"time": at, **lists, "omitted": 0})
        item = {"server_id": {"S": f"#events{of}"}, "recorded_at": {"S": at}, "said": {"S": said}}
        self.call("PutItem", TableName=METRICS, Item=item)

    def clear(self):
        for table, keys in ((SERVERS, ["server_id"]), (METRICS, ["server_id", "recorded_at"])):
            while items := self.call("Scan", TableName=table)["Items"]:
                self.write(table, [{"DeleteRequest": {"Key": {name: item[name] for name in keys}}} for item in items])

    def proxy(self):
        """The handler that the page talks to."""
        database = self

        class Proxy(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].partition(".")[2]
                database.counts[operation] = database.counts.get(operation, 0) + 1
                if database.hanging > 0:
                    database.hanging -= 1
                    time.sleep(30)
                    return
                status, answer = 400, b'{"__type":"com.amazonaws#AccessDeniedException","message":"not today"}'
                if not database.is_down and operation not in database.denied:
                    url = f"http://127.0.0.1:{database.port}"
                    try:
                        with urllib.request.urlopen(urllib.request.Request(url, body, dict(self.headers))) as response:
                            status, answer = response.status, response.read()
                    except urllib.error.HTTPError as error:
                        status, answer = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + database.ahead)

            def log_message(self, *_):
                pass

        return Proxy


@pytest.fixture(scope="session")
def dynamodb():
    with dev("dynamodb", "--port", "0", "--file", ":memory:") as (url, _):
        yield Database(int(url.rpartition(":")[2]))


@pytest.fixture(scope="session")
def endpoint(dynamodb):
    with ThreadingHTTPServer(("127.0.0.1", 0), dynamodb.proxy()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def database(dynamodb):
    """The database without an item."""
    dynamodb.clear()
    dynamodb.counts.clear()
    dynamodb.is_down = False
    dynamodb.denied.clear()
    dynamodb.hanging = dynamodb.ahead = 0
    return dynamodb


@pytest.fixture(scope="session")
def environment(endpoint):
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "SERVERS_TABLE": SERVERS,
        "METRICS_TABLE": METRICS,
    }


@pytest.fixture
def ctl(environment):
    """Runs heartbeatctl; returns its output."""

    def run(*arguments):
        command = [DEBUG / "heartbeatctl", *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture
def serve(environment):
    """Starts `heartbeatctl web`; returns its URL."""

    @contextmanager
    def start(*arguments, listen="127.0.0.1:0"):
        command = [DEBUG / "heartbeatctl", "web", "--listen", listen, *arguments]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            url = re.match(r"http://\S+", process.stderr.readline())
            try:
                yield url and url[0]
            finally:
                process.terminate()

    return start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def serve_function(environment, certificate):
    """Starts the function behind an API; returns its URL."""

    def start(password=PASSWORD, **settings):
        digest = hashlib.sha256(password.encode()).hexdigest()
        return deployed(DEBUG / "page", environment | {"PAGE_PASSWORD_SHA256": digest} | settings, certificate)

    return start


@pytest.fixture(params=["heartbeatctl web", "function"])
def web(request, database, serve, serve_function):
    """The page, served in both ways."""
    with serve() if request.param == "heartbeatctl web" else serve_function() as url:
        yield url


@pytest.fixture(scope="session")
def chromium():
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def request_text(web):
    """Asks for what is at a path below the page."""

    def ask(path):
        headers = {"Authorization": "Basic " + base64.b64encode(f":{PASSWORD}".encode()).decode()}
        asked = urllib.request.Request(f"{web}/{path}", headers=headers)
        with urllib.request.urlopen(asked, context=ssl._create_unverified_context()) as response:
            if path:
                assert "immutable" in response.headers["cache-control"]
            return response.read().decode()

    return ask


@pytest.fixture
def open_page(chromium, web):
    """Opens the page, if asked with a clock that the test can put forward. In the end, no error was logged, and nothing was
    requested from elsewhere."""
    problems, contexts = [], []

    def opened(path="/", expect_errors=False, has_clock=False, **options):
        context = chromium.new_context(ignore_https_errors=True, **options)
        contexts.append(context)
        page = context.new_page()
        if has_clock:
            page.clock.install()
        if not expect_errors:
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: problems.append(request.url) if not is_own(request.url) else None)
        page.goto(web + path)
        if web.startswith("https:"):
            page.get_by_label("Password").fill(PASSWORD)
            with page.expect_navigation():
                page.get_by_role("button", name="Sign in").click()
            if urlsplit(path).fragment:
                page.goto(web + path)
        return page

    # Where the page is.
    opened.url = web

    def is_own(url):
        return url.startswith(f"{web}/") or url.startswith("data:")

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
