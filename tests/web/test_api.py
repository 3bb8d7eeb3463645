"""What the page serves to programs, and to whom."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import DEBUG, now
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def get(url, method="GET", **headers):
    """The status, the headers and the body of a response."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method)) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def test_the_api_gives_the_same_as_the_commands(database, web, ctl):
    database.server("web-1", seen=5, cpu_percent=12.5, network_rx_bytes=2**64 - 1)
    times = [now() - timedelta(minutes=ago) for ago in range(30, 0, -1)]
    database.rows("web-1", times, cpu_percent=lambda number: number, network_tx_bytes=lambda number: number * 600)
    status, headers, body = get(f"{web}/api/servers")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(ctl("fleet", "--json"))
    since = f"{now() - timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}"
    for query, arguments in (("", []), ("&every=5m", ["--every", "5m"]), ("&until=3m", ["--until", "3m"])):
        status, _, body = get(f"{web}/api/servers/web-1/history?since={since}{query}")
        assert status == 200 and len(json.loads(body)) > 3, body
        assert json.loads(body) == json.loads(ctl("history", "web-1", "--since", since, "--json", *arguments))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/servers/web-1/history?since=soon", 400),
        ("/api/servers/web-1/history?since=1h&until=2h", 400),
        ("/api/servers/web-1/history?every=0s", 400),
        ("/api/servers/Web%20One/history", 404),
        ("/api/servers/%23watchdog/history", 404),
        ("/servers/nobody", 404),
        ("/nothing", 404),
    ],
)
def test_what_cannot_be_answered_is_said(web, path, status):
    received, headers, body = get(web + path)
    assert received == status and len(body) > 10, body
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


def test_prometheus_reads_the_last_readings(database, web):
    readings = {"cpu_percent": 12.5, "memory_total_mb": 1024, "disk_total_gb": 0.5, "network_rx_bytes": 2**53 + 2}
    database.server("web-1", seen=5, load_1m=1.5, uptime_seconds=60, **readings)
    database.server("mail", seen=3600)
    status, headers, body = get(f"{web}/metrics")
    assert status == 200 and headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    values = {
        (sample.name, sample.labels["server_id"]): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values.pop(("heartbeat_last_seen_timestamp_seconds", "web-1")) == pytest.approx(time.time() - 5, abs=5)
    assert values.pop(("heartbeat_last_seen_timestamp_seconds", "mail")) == pytest.approx(time.time() - 3600, abs=5)
    assert values == {
        ("heartbeat_server_online", "web-1"): 1,
        ("heartbeat_server_online", "mail"): 0,
        ("heartbeat_cpu_usage_ratio", "web-1"): 0.125,
        ("heartbeat_memory_size_bytes", "web-1"): 2**30,
        ("heartbeat_disk_size_bytes", "web-1"): 2**29,
        ("heartbeat_network_rx_bytes_total", "web-1"): 2**53 + 2,
        ("heartbeat_load_1m", "web-1"): 1.5,
        ("heartbeat_uptime_seconds", "web-1"): 60,
    }
    kinds = {family.name: (family.type, family.unit) for family in families.values()}
    assert kinds["heartbeat_network_rx_bytes"] == ("counter", "bytes")
    assert kinds["heartbeat_cpu_usage_ratio"] == ("gauge", "ratio")
    assert len(families) == 2 + 13


# C8.12
@pytest.mark.parametrize(("rules", "online"), [(None, 1), ((60, "disk_percent=80"), 0)])
def test_the_watchdogs_rules_are_those_of_the_page_and_of_prometheus(database, web, rules, online):
    database.server("quiet", seen=100, disk_percent=85)
    if rules:
        database.rules(*rules)
    assert f'heartbeat_server_online{{server_id="quiet"}} {online}' in get(f"{web}/metrics")[2]
    page, server = get(web)[2], get(f"{web}/servers/quiet")[2]
    assert ("No watchdog has written its rules here" in page) == (rules is None)
    assert ('<span class="high">85 %</span>' in page) == (rules is not None)
    assert f"&quot;limit&quot;:{80.0 if rules else 90.0}" in server


def test_a_thousand_servers_are_one_scan_however_many_ask(database, web):
    for number in range(1000):
        database.server(f"web-{number}", seen=number % 100, cpu_percent=number / 10, disk_percent=20)
    # 1,000 servers of 300 bytes fit into one page of a scan.
    database.counts.clear()
    started = time.monotonic()
    status, _, body = get(web)
    print(f"the fleet of 1,000 servers took {(time.monotonic() - started) * 1000:.0f} ms")
    assert status == 200 and body.count("<tr") == 1001
    assert database.counts == {"Scan": 1}
    database.counts.clear()
    with ThreadPoolExecutor(20) as pool:
        scrapes = list(pool.map(lambda _: get(f"{web}/metrics"), range(60)))
    assert {status for status, _, _ in scrapes} == {200}
    assert database.counts.get("Scan", 0) <= 1


def test_a_fault_of_aws_is_an_error_for_programs(database, web):
    database.is_down = True
    for path in ("/api/servers", "/api/servers/web-1/history", "/metrics", "/fleet"):
        status, _, body = get(web + path)
        assert status == 502 and "AccessDeniedException" in body, path


def test_only_its_own_names_and_only_reading(database, serve):
    with serve("--host", "fleet.example.com") as url:
        for host in ("localhost", "127.0.0.1:1", "fleet.example.com", "FLEET.example.com:80"):
            assert get(url, Host=host)[0] == 200, host
        for host in ("evil.example", "127.0.0.1.evil.example", ""):
            for path in ("/", "/api/servers", "/metrics", "/app.js"):
                assert get(url + path, Host=host)[0] in (400, 421), host
        assert get(url, "HEAD")[2] == ""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            for path in ("/", "/api/servers", "/nothing"):
                status, headers, _ = get(url + path, method)
                assert (status, headers["allow"]) == (405, "GET, HEAD"), method
        _, headers, _ = get(url)
        assert headers["set-cookie"] is None and "access-control-allow-origin" not in headers


def test_another_address_needs_a_password(database, serve, environment, tmp_path):
    for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:1"):
        command = [DEBUG / "heartbeatctl", "web", "--listen", listen]
        rejected = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert rejected.returncode == 1 and "--password-file" in rejected.stderr, rejected
    password = tmp_path / "password"
    password.write_text("\n")
    empty = [DEBUG / "heartbeatctl", "web", "--password-file", password]
    assert subprocess.run(empty, env=environment, capture_output=True).returncode == 1
    password.write_text("correct höhse:battery\nnot this line\n")

    def basic(text):
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    with serve("--password-file", password, listen="0.0.0.0:0") as url:
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert get(url, **basic("anyone:correct höhse:battery"))[0] == 200
        assert get(f"{url}/metrics", **basic(":correct höhse:battery"))[0] == 200
        wrong = [
            {},
            {"Authorization": "Basic !"},
            {"Authorization": "Bearer correct höhse:battery".encode().decode("latin-1")},
        ]
        for headers in [*wrong, basic("anyone:wrong"), basic("correct höhse:battery"), basic("anyone:")]:
            for path in ("/", "/api/servers", "/metrics", "/style.css", "/nothing"):
                status, received, _ = get(url + path, **headers)
                assert status == 401 and received["www-authenticate"].startswith("Basic "), (path, headers)
