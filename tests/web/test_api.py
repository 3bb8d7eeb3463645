"""What the page serves to programs, and to whom."""

import base64
import gzip
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from conftest import DEBUG, PASSWORD, now, stored
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def request(url, method="GET", data=None, **headers):
    """The status, the headers and the body of a response, without following a redirect."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    no_redirect = type("NoRedirect", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *_: None})
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), no_redirect)
    try:
        with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=25) as response:
            body = response.read()
            is_compressed = response.headers["content-encoding"] == "gzip"
            return response.status, response.headers, (gzip.decompress(body) if is_compressed else body).decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def get(url, method="GET", **headers):
    """The same for who may see the page."""
    password = basic(f":{PASSWORD}") if url.startswith("https:") else {}
    return request(url, method, **(password | headers))


def test_the_api_gives_the_same_as_the_commands(database, web, ctl):
    database.server("web-1", seen=5, cpu_percent=12.5, network_rx_bytes=2**64 - 1)
    # Half a minute from where a period can end: the two read the time one after the other.
    times = [now() - timedelta(minutes=ago, seconds=30) for ago in range(30, 0, -1)]
    database.rows("web-1", times, cpu_percent=lambda number: number, network_tx_bytes=lambda number: number * 600)
    status, headers, body = get(f"{web}/api/servers")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(ctl("fleet", "--json"))
    since = f"{now() - timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}"
    for query, arguments in (("", []), ("&every=5m", ["--every", "5m"]), ("&until=3m", ["--until", "3m"])):
        status, _, body = get(f"{web}/api/servers/web-1/history?since={since}{query}")
        assert status == 200 and len(json.loads(body)) > 3, body
        assert json.loads(body) == json.loads(ctl("history", "web-1", "--since", since, "--json", *arguments))


# C14.2
def test_a_group_is_asked_for_alone(database, web):
    for server, group in (("web-1", "web"), ("web-2", "web"), ("db-1", "db"), ("nas", None)):
        database.server(server, seen=5, item={"group": {"S": group}} if group else None)
    found = json.loads(get(f"{web}/api/servers?group=web")[2])
    assert [(server["server_id"], server["group"]) for server in found] == [("web-1", "web"), ("web-2", "web")]
    assert [server["group"] for server in json.loads(get(f"{web}/api/servers")[2])].count(None) == 1
    scraped = get(f"{web}/metrics?group=web")[2]
    assert 'heartbeat_server_online{server_id="web-1",group="web"} 1' in scraped and "db-1" not in scraped
    assert 'heartbeat_server_online{server_id="nas"} 1' in get(f"{web}/metrics")[2]
    page = get(f"{web}/?group=web&search=web-2")[2]
    assert "web-2" in page and "db-1" not in page and "group web" in page and "2 of 2 are well" in page, page
    for path in ("/api/servers", "/metrics", "/", "/fleet"):
        assert get(f"{web}{path}?group=No%20Group")[0] == 400
        assert get(f"{web}{path}?group=")[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/servers/web-1/history?since=soon", 400),
        ("/api/servers/web-1/history?since=1h&until=2h", 400),
        ("/api/servers/web-1/history?every=0s", 400),
        ("/api/servers/Web%20One/history", 404),
        ("/api/servers/%23watchdog/history", 404),
        ("/api/servers/nobody/history", 404),
        ("/servers/nobody", 404),
        ("/nothing", 404),
    ],
)
def test_what_cannot_be_answered_is_said(web, path, status):
    received, headers, body = get(web + path)
    assert received == status and len(body) > 10, body
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'") and "frame-ancestors 'none'" in policy


def test_prometheus_reads_the_last_readings(database, web):
    readings = {"cpu_percent": 12.5, "memory_total_mb": 1024, "disk_total_gb": 0.5, "network_rx_bytes": 2**53 + 2}
    lists = {
        "disks": {"M": {"/": {"N": "82.1"}, '/a "b"\\\n\u202e': {"N": "20"}}},
        "services": {"M": {"nginx": {"S": "failed"}, "cron": {"S": "stopped"}, "job": {"S": "unknown"}}},
        "reasons": {"M": {"nginx": {"S": 'said "exit"'}}},
    }
    version = {"agent_version": {"S": "2.0.0"}}
    database.server("web-1", seen=5, load_1m=1.5, uptime_seconds=60, **readings, reading=lists, item=version)
    # Of a server that is not heard any more, what its reading has is in no metric.
    database.server("mail", seen=3600, reading=lists)
    status, headers, body = get(f"{web}/metrics")
    assert status == 200 and headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    lists = ("heartbeat_filesystem_used", "heartbeat_service", "heartbeat_agent")
    values = {
        (sample.name, sample.labels["server_id"]): sample.value
        for family in families.values()
        if not family.name.startswith(lists)
        for sample in family.samples
    }
    # What tells several samples of a server apart.
    found = {
        name: [(sample.labels, sample.value) for sample in family.samples]
        for name, family in families.items()
        if name.startswith(lists)
    }
    of = {"server_id": "web-1"}
    assert found == {
        "heartbeat_filesystem_used_ratio": [
            (of | {"mount": "/"}, 0.821),
            (of | {"mount": '/a "b"\\\ufffd\ufffd'}, 0.2),
        ],
        "heartbeat_service_failed": [(of | {"service": "nginx"}, 1), (of | {"service": "cron"}, 0)],
        "heartbeat_service_info": [
            (of | {"service": "nginx", "status": "failed", "reason": 'said "exit"'}, 1),
            (of | {"service": "cron", "status": "stopped", "reason": ""}, 1),
            (of | {"service": "job", "status": "unknown", "reason": ""}, 1),
        ],
        "heartbeat_agent_info": [(of | {"agent_version": "2.0.0"}, 1)],
    }
    assert values.pop(("heartbeat_last_seen_timestamp_seconds", "web-1")) == pytest.approx(time.time() - 5, abs=5)
    assert values.pop(("heartbeat_last_seen_timestamp_seconds", "mail")) == pytest.approx(time.time() - 3600, abs=5)
    standings = families["heartbeat_server_standing"].samples
    assert {sample.labels["server_id"]: sample.labels["standing"] for sample in standings} == {
        "web-1": "problem",
        # No sweep is known, so nobody knows if its heartbeats or the sweeps are missing.
        "mail": "late",
    }
    assert values == {
        ("heartbeat_server_online", "web-1"): 1,
        ("heartbeat_server_online", "mail"): 0,
        ("heartbeat_server_standing", "web-1"): 1,
        ("heartbeat_server_standing", "mail"): 1,
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
    assert len(families) == 3 + 17 + 4
    reading = json.loads(get(f"{web}/api/servers?search=web-1")[2])[0]["reading"]
    assert reading["disks"] == {"/": 82.1, '/a "b"\\\n\u202e': 20}
    assert reading["services"] == {"nginx": "failed", "cron": "stopped", "job": "unknown"}
    assert reading["reasons"] == {"nginx": 'said "exit"'} and "services_cut" not in reading


# C8.12
@pytest.mark.parametrize(("rules", "online"), [(None, 1), ((60, "disk_percent=80"), 0)])
def test_the_watchdogs_rules_are_those_of_the_page_and_of_prometheus(database, web, rules, online):
    database.server("quiet", seen=100)
    database.server("full", seen=5, disk_percent=85)
    if rules:
        database.rules(*rules)
    assert f'heartbeat_server_online{{server_id="quiet"}} {online}' in get(f"{web}/metrics")[2]
    page, server = get(web)[2], get(f"{web}/servers/full")[2]
    assert ("The watchdog's rules are unknown: the defaults apply" in page) == (rules is None)
    assert ('<span class="high">85 %</span>' in page) == (rules is not None)
    assert f"&quot;limit&quot;:{80.0 if rules else 90.0}" in server


@pytest.mark.parametrize(("has_own", "kinds"), [(False, ["back"]), (True, ["offline", "back"])])
def test_the_events_of_a_server_are_read_whatever_happened_to_others(database, web, has_own, kinds):
    database.server("web-1")
    for number in range(90):
        others = [{"server_id": f"db-{server}", "hostname": "x" * 250} for server in range(150)]
        database.event(3600 + number, offline=others)
    ours = [{"server_id": "web-1", "hostname": None}]
    database.event(2 * 86_400, back=ours)
    database.event(3600, of=":web-1", offline=ours)
    since = {"events_since": {"S": stored(now() - timedelta(days=1))}} if has_own else {}
    database.call("PutItem", TableName="heartbeat-servers", Item={"server_id": {"S": "#watchdog"}} | since)
    database.counts.clear()
    page = get(f"{web}/servers/web-1")[2]
    assert [kind for kind in ("is offline", "is back") if kind in page] == [f"is {kind}" for kind in kinds]
    # A query answers with 1 MB at most: here, there are 4 MB about others. With events of its own, its uptime is known, too.
    assert (database.counts["Query"] == 3) == has_own, database.counts
    found = json.loads(get(f"{web}/api/events?server=web-1")[2])
    assert [event["kind"] for event in found] == kinds
    assert json.loads(get(f"{web}/api/events?server=web_1")[2]) == []


def test_a_thousand_servers_are_one_scan_however_many_ask(database, web):
    database.servers(1000)
    # 1,000 servers of 300 bytes fit into one page of a scan.
    database.counts.clear()
    started = time.monotonic()
    status, _, body = get(web)
    print(f"the fleet of 1,000 servers took {(time.monotonic() - started) * 1000:.0f} ms")
    assert status == 200 and body.count("<tr") == 1001
    # The function, whose memory is bounded, judges servers while they are read: it has to know the rules before.
    before = database.counts.pop("GetItem", 0)
    assert before in (0, 2) and database.counts == {"Scan": 1, "Query": 1}
    database.counts.clear()
    with ThreadPoolExecutor(20) as pool:
        scrapes = list(pool.map(lambda _: get(f"{web}/metrics"), range(20)))
    assert {status for status, _, _ in scrapes} == {200}
    assert database.counts.get("Scan", 0) <= 1


def follow(url):
    """The servers of each answer, as `Link` leads from one to the next."""
    while url:
        status, headers, body = get(url)
        assert status == 200, body
        yield [server["server_id"] for server in json.loads(body)]
        link = re.fullmatch('<([^>]*)>; rel="next"', headers["link"] or "")
        url = link and urllib.parse.urljoin(url, link[1])


# C13.10
def test_servers_are_listed_in_parts_that_read_no_others(database, web):
    for number in range(25):
        group = {"group": {"S": "web"}} if number % 5 == 0 else None
        database.server(f"web-{number}", seen=5, item=group)
    for item in ("#watchdog", "#groups", "#notify"):
        database.call("PutItem", TableName="heartbeat-servers", Item={"server_id": {"S": item}})
    known = [item["server_id"]["S"] for item in database.call("Scan", TableName="heartbeat-servers")["Items"]]
    known = [server for server in known if not server.startswith("#")]
    for limit, sizes in ((10, [10, 10, 5]), (25, [25]), (1000, [25])):
        database.counts.clear()
        parts = list(follow(f"{web}/api/servers?limit={limit}"))
        assert [len(part) for part in parts] == sizes and sum(parts, []) == known, parts
        # The items of the watchdog and of the groups, and what is asked for.
        assert database.counts == {"GetItem": 2 * len(sizes), "Scan": len(sizes)}
    parts = list(follow(f"{web}/api/servers?search=online&group=web&limit=2"))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert sum(parts, []) == [server for server in known if int(server[4:]) % 5 == 0]
    # One that was forgotten meanwhile is a place in the table all the same, and so is one that never was.
    rest = next(follow(f"{web}/api/servers?after={known[9]}"))
    assert rest == known[10:]
    database.call("DeleteItem", TableName="heartbeat-servers", Key={"server_id": {"S": known[9]}})
    assert next(follow(f"{web}/api/servers?limit=1000&after={known[9]}")) == rest
    assert get(f"{web}/api/servers?after=nobody")[0] == 200
    database.counts.clear()
    for query in ("limit=0", "limit=1001", "limit=ten", "limit=", "limit=-1", "after=", "after=%23watchdog", "after=Web"):
        status, headers, body = get(f"{web}/api/servers?{query}")
        name = query.partition("=")[0]
        assert (status, headers["link"]) == (400, None) and f'"error":"{name}: ' in body, body
    assert database.counts == {}


# C13.10
def test_what_is_rare_takes_several_answers(database, web):
    # Two of these fill a read.
    for number in range(24):
        database.server(f"web-{number}", seen=5, item={"note": {"S": "x" * 390_000}})
    database.server("rare", seen=5, item={"group": {"S": "rare"}})
    for query in ("group=rare", "search=rare"):
        database.counts.clear()
        parts = list(follow(f"{web}/api/servers?limit=5&{query}"))
        assert len(parts) > 1 and sum(parts, []) == ["rare"], parts
        assert database.counts["Scan"] <= 10 * len(parts)
    database.clear()


# C13.10
def test_no_part_of_the_servers_is_too_large(database, serve_function):
    database.servers(800, hostname="x" * 9_000 + "{}")
    with serve_function() as url:
        parts = list(follow(f"{url}/api/servers?limit=1000"))
    assert len(parts) > 1 and all(parts) and len(set(sum(parts, []))) == 800, [len(part) for part in parts]
    database.clear()


# C13.10
def test_what_programs_read_is_compressed_for_whoever_accepts_it(database, web):
    database.servers(50)
    database.rows("web-1", [now() - timedelta(minutes=ago) for ago in range(60)], cpu_percent=lambda number: number)
    since = f"{now() - timedelta(minutes=40):%Y-%m-%dT%H:%M:%SZ}"
    history = f"/api/servers/web-1/history?since={since}"
    for path in ("/api/servers", "/api/servers?limit=40", history, "/api/events", "/metrics"):
        _, plain, expected = get(web + path)
        status, headers, body = get(web + path, Accept_Encoding="br, gzip;q=0.5")
        assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "accept-encoding"), path
        assert headers["content-type"] == plain["content-type"] and headers["link"] == plain["link"]
        ages = r"T[\d:.]+Z|_seconds.* \S+"
        assert re.sub(ages, "", body) == re.sub(ages, "", expected)
        assert (plain["content-encoding"], plain["vary"]) == (None, "accept-encoding"), path
        assert path == "/api/events" or int(headers["content-length"]) < int(plain["content-length"]) / 4, path
        status, of_head, body = get(web + path, "HEAD", Accept_Encoding="gzip")
        assert (status, body, of_head["content-encoding"]) == (200, "", "gzip")
        assert get(web + path, Accept_Encoding="gzip;q=0")[1]["content-encoding"] is None
    # They hold a token, and what was searched for.
    for path in ("/", "/?search=web", "/fleet", "/servers/web-1", "/fleet/web-1", f"/fleet/web-1?since={since}"):
        headers = get(web + path, Accept_Encoding="gzip")[1]
        assert (headers["content-encoding"], headers["vary"]) == (None, None), path


# C13.10 C14.2
def test_a_prometheus_scrapes_a_group(database, web, tmp_path):
    program = shutil.which("prometheus") or pytest.skip("needs prometheus")
    reading = {"disks": {"M": {'/a "b"': {"N": "82.1"}}}, "services": {"M": {"nginx": {"S": "failed"}}}}
    for server, group in (("web-1", "web"), ("web-2", "web"), ("db-1", "db")):
        item = {"group": {"S": group}, "agent_version": {"S": "2.0.0"}}
        database.server(server, seen=5, item=item, reading=reading, cpu_percent=12.5, network_rx_bytes=2**53 + 2)
    page = urllib.parse.urlsplit(web)
    job = {
        "job_name": "heartbeat",
        "scheme": page.scheme,
        "scrape_interval": "1s",
        "params": {"group": ["web"]},
        "static_configs": [{"targets": [page.netloc]}],
        "basic_auth": {"username": "any", "password": PASSWORD},
        "tls_config": {"insecure_skip_verify": True},
    }
    file = tmp_path / "prometheus.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"scrape_configs": [job]}))
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={tmp_path}", "--web.listen-address=127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            log, listening = "", None
            while not listening or "ready to receive web requests" not in log:
                line = process.stderr.readline()
                assert line, log
                log += line
                listening = re.search(r"Listening on.*address=(\S+)", log)
            threading.Thread(target=process.stderr.read, daemon=True).start()

            def ask(path):
                with urllib.request.urlopen(f"http://{listening[1]}/api/v1/{path}") as response:
                    return json.load(response)["data"]

            query = "query?query=" + urllib.parse.quote('{__name__=~"heartbeat_.*"}')
            while not (found := ask(query)["result"]):
                errors = [target["lastError"] for target in ask("targets")["activeTargets"]]
                assert not any(errors), errors
                time.sleep(0.1)
        finally:
            process.terminate()
    samples = [(sample["metric"], float(sample["value"][1])) for sample in found]
    values = {(of["__name__"], of["server_id"]): value for of, value in samples}
    for server in ("web-1", "web-2"):
        assert values["heartbeat_server_online", server] == 1
        assert values["heartbeat_cpu_usage_ratio", server] == 0.125
        assert values["heartbeat_network_rx_bytes_total", server] == 2**53 + 2
    labels = {of["__name__"]: of for of, _ in samples if of["server_id"] == "web-2"}
    assert labels["heartbeat_filesystem_used_ratio"]["mount"] == '/a "b"'
    assert labels["heartbeat_service_failed"]["service"] == labels["heartbeat_service_info"]["service"] == "nginx"
    assert labels["heartbeat_agent_info"]["agent_version"] == "2.0.0"
    assert {(of["server_id"], of["group"]) for of, _ in samples} == {("web-1", "web"), ("web-2", "web")}


# C13.8
def test_nobody_waits_for_a_scan_that_is_stuck(database, web):
    database.server("web-1", seen=5)
    database.hanging = 1
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(get, web)
        while database.hanging:
            time.sleep(0.01)
        started = time.monotonic()
        others = [pool.submit(get, web + path) for path in ("/", "/metrics", "/api/servers") * 3]
        if web.startswith("https:"):
            # A function answers one request at a time, and the SDK gives an attempt 1.5 s.
            others = others[:1]
        assert [other.result()[0] for other in others] == [200] * len(others)
        took = time.monotonic() - started
        assert took < 6, f"{took:.1f} s"
        assert first.result()[0] == 200


# C13.9
def test_ages_are_measured_against_the_date_of_dynamodb(database, web):
    for ahead, words in ((-600, "10 min ahead of"), (600, "10 min behind")):
        database.ahead = ahead
        database.server("web-1", seen=20 - ahead)
        assert '"status": "online"' in get(f"{web}/api/servers")[2]
        assert f"This machine&#39;s clock is {words} DynamoDB" in get(web)[2].replace("'", "&#39;")
        assert 'heartbeat_server_online{server_id="web-1"} 1' in get(f"{web}/metrics")[2]
        time.sleep(1.1)
    # A fleet that has died does not look fresh.
    database.ahead = 0
    database.server("web-1", seen=600)
    page = get(web)[2]
    assert "DynamoDB" not in page and "0 of 1 are well: 1 late" in page


# C13.11
def test_a_page_of_another_site_may_only_link_here(database, web):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    database.counts.clear()
    for path in ("/", "/api/servers", "/metrics", "/api/servers/web-1/history", "/fleet"):
        for headers in ({"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}):
            assert get(web + path, **(link | headers))[0] == 403, (path, headers)
    assert database.counts == {}
    assert get(web, **link)[0] == 200
    assert get(web, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty")[0] == 200


# C13.10
def test_a_search_asks_the_server(database, web):
    database.server("web-1", seen=5)
    database.server("mail", seen=3600)
    assert [server["server_id"] for server in json.loads(get(f"{web}/api/servers?search=MAIL+offline")[2])] == ["mail"]
    page = get(f"{web}/?search=web")[2]
    assert "servers/web-1" in page and 'value="web"' in page and page.count("<tr") == 2
    assert "No server matches" in get(f"{web}/?search=nothing")[2]


def test_a_fault_of_aws_is_an_error_for_programs(database, web):
    database.is_down = True
    for path in ("/api/servers", "/api/servers/web-1/history", "/metrics", "/fleet"):
        status, _, body = get(web + path)
        assert status == 502 and "AccessDeniedException" in body, path


# C13.6
def test_only_its_own_names_and_only_reading(database, serve):
    with serve("--host", "fleet.example.com") as url:
        for host in ("localhost", "127.0.0.1:1", "fleet.example.com", "FLEET.example.com:80"):
            assert get(url, Host=host)[0] == 200, host
        for host in ("evil.example", "127.0.0.1.evil.example", ""):
            for path in ("/", "/api/servers", "/metrics", "/app.0.js"):
                assert get(url + path, Host=host)[0] in (400, 421), host
        assert get(url, "HEAD")[2] == ""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            for path in ("/", "/api/servers", "/nothing"):
                status, headers, _ = get(url + path, method)
                assert (status, headers["allow"]) == (405, "GET, HEAD"), method
        _, headers, _ = get(url)
        assert headers["set-cookie"] is None and "access-control-allow-origin" not in headers


# C13.6
def test_it_listens_on_this_machine_alone(environment):
    for listen in ("0.0.0.0:0", "[::]:0", "192.0.2.1:1"):
        command = [DEBUG / "heartbeatctl", "web", "--listen", listen]
        rejected = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert rejected.returncode == 1 and "listen on 127.0.0.1" in rejected.stderr, rejected
    unknown = subprocess.run([DEBUG / "heartbeatctl", "web", "--password-file", "x"], capture_output=True)
    assert unknown.returncode == 2


PATHS = (
    "/", "/servers/web-1", "/nothing",
    "/api/servers", "/api/servers/web-1/history", "/metrics", "/fleet", "/fleet/web-1", "/app.0.js",
)
# What a browser sends with a form of the page.
OWN = {"Sec-Fetch-Site": "same-origin"}


# C13.3 C13.4
def test_nothing_is_read_without_the_password(database, serve_function):
    database.server("secret-server", seen=5)
    with serve_function() as url:
        wrong = [{}, basic(":wrong"), basic(f"{PASSWORD}"), {"Cookie": "__Host-heartbeat=99999999999.00"}]
        database.counts.clear()
        for headers in wrong:
            for path in PATHS:
                status, received, body = request(url + path, **headers)
                is_page = path in ("/", "/servers/web-1", "/nothing")
                assert status == (200 if is_page else 401), (path, headers)
                assert ("<form" in body) == is_page and "secret-server" not in body
                assert received["x-amzn-remapped-www-authenticate"] is None
                assert "frame-ancestors 'none'" in received["content-security-policy"]
        status, headers, body = request(f"{url}/login", "POST", b"password=wrong", **OWN)
        assert (status, headers["set-cookie"]) == (401, None) and "not the password" in body
        assert request(f"{url}/", "POST")[0] == 405
        assert database.counts == {}
        assert request(url, **basic(f"anyone:{PASSWORD}"))[0] == 200


def sign_in(url, password=PASSWORD, more=b""):
    return request(f"{url}/login", "POST", b"password=" + password.encode() + more, **OWN)


# C13.4
def test_a_cookie_opens_the_page_until_the_password_changes(database, serve_function):
    with serve_function() as url:
        status, headers, _ = sign_in(url)
        cookie, *attributes = headers["set-cookie"].split("; ")
        assert (status, headers["location"]) == (303, "./")
        assert cookie.startswith("__Host-")
        assert set(attributes) == {"Path=/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=2592000"}
        assert request(f"{url}/api/servers", Cookie=f"a=b; {cookie}")[0] == 200
        assert request(f"{url}/api/servers", Cookie=cookie[:-1])[0] == 401
        assert sign_in(url, more=b"&server=web-1")[1]["location"] == "servers/web-1"
        assert sign_in(url, more=b"&server=//evil.example")[1]["location"] == "./"
    with serve_function("another password") as url:
        assert request(f"{url}/api/servers", Cookie=cookie)[0] == 401


# C13.10
def test_what_lambda_cannot_pass_on_is_said(database, serve_function):
    database.servers(6000, hostname="x" * 250 + "{}")
    with serve_function() as url:
        status, _, body = get(f"{url}/api/servers")
        assert status == 503 and "MB" in body and "gzip" in body, body[:300]
        assert len(json.loads(get(f"{url}/api/servers", Accept_Encoding="gzip")[2])) == 6000
        assert get(f"{url}/api/servers?search=web-599")[0] == 200
        parts = list(follow(f"{url}/api/servers?limit=1000"))
        assert [len(part) for part in parts] == [1000] * 6 and len(set(sum(parts, []))) == 6000
        page = get(url)[2]
        assert page.count("<tr") == 1001 and "The first 1000 of 6000 servers" in page
    database.clear()
