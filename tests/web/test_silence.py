"""What somebody may do who has signed in: silence a server, and sign out; and what is noted of sign-ins."""

import hashlib
import json
import re
import subprocess
from datetime import datetime, timedelta
from urllib.parse import urlencode

import pytest
from conftest import DEBUG, METRICS, PASSWORD, SERVERS, now, stored
from gateway import deployed
from playwright.sync_api import expect
from test_api import OWN, basic, request, sign_in

FORM = re.compile(r'name="token" value="(\w+)"')


def silenced_until(database, server="web-1"):
    item = database.call("GetItem", TableName=SERVERS, Key={"server_id": {"S": server}})["Item"]
    return item.get("silenced_until", {}).get("S")


def events(database, of=""):
    items = database.call("Scan", TableName=METRICS)["Items"]
    found = [item for item in items if item["server_id"]["S"] == f"#events{of}"]
    return sorted(found, key=lambda item: item["recorded_at"]["S"])


def cookie_of(url):
    return sign_in(url)[1]["set-cookie"].split(";")[0]


# C12 C13.14
@pytest.mark.parametrize("has_own_events", [False, True])
def test_a_server_is_silenced_and_heard_again_without_a_script(database, serve_function, chromium, has_own_events):
    database.server("web-1", seen=5)
    since = {"events_since": stored(now() - timedelta(days=1))} if has_own_events else {}
    database.rules(180, "none", **since)
    with serve_function(PAGE_MAY="silence", METRICS_RETENTION_DAYS="7") as url:
        page = chromium.new_page(ignore_https_errors=True, java_script_enabled=False)
        page.goto(f"{url}/servers/web-1")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        for name, length in (("1 h", 3600), ("8 h", 8 * 3600), ("3 days", 3 * 86_400)):
            page.get_by_role("button", name=name).click()
            expect(page.locator("main")).to_contain_text("silenced until")
            assert page.url == f"{url}/servers/web-1"
            until = datetime.fromisoformat(silenced_until(database))
            assert abs(until - now() - timedelta(seconds=length)) < timedelta(seconds=10)
            page.get_by_role("button", name="End the silence").click()
            expect(page.get_by_role("button", name="1 h")).to_be_visible()
            assert silenced_until(database) is None
        happened = page.get_by_role("list", name="What happened in seven days").get_by_role("listitem")
        expect(happened).to_have_count(6)
        # The clock of DynamoDB's responses has whole seconds, so neighbours may change places.
        expect(happened.filter(has_text="web-1 is no longer silenced by the page")).to_have_count(3)
        expect(happened.filter(has_text="web-1 is silenced until")).to_have_count(3)
        page.close()
    # So that it is found with what happened to the server alone, too.
    own = [item | {"server_id": {"S": "#events"}} for item in events(database, ":web-1")]
    assert own == events(database)
    lengths = []
    for item in events(database):
        said = json.loads(item["said"]["S"])
        assert said.keys() == {"time", "silenced"} and said["time"] == item["recorded_at"]["S"]
        (entry,) = said["silenced"]
        until, recorded = entry.pop("until"), datetime.fromisoformat(said["time"])
        assert entry == {"server_id": "web-1", "hostname": "web-1.example.com", "by": "the page"}
        lengths.append(until and (datetime.fromisoformat(until) - recorded).total_seconds())
        assert int(item["expires_at"]["N"]) == int(recorded.timestamp()) + 7 * 86_400
    assert sorted(lengths, key=str) == [10_800 * 24, 28_800, 3_600, None, None, None]


# C13.14
def test_only_a_form_of_this_page_and_of_this_session_silences(database, serve_function):
    database.server("web-1", seen=5)
    with serve_function(PAGE_MAY="silence") as url:
        cookie, other = cookie_of(url), None
        token = FORM.search(request(f"{url}/servers/web-1", Cookie=cookie)[2])[1]
        while other in (None, cookie):
            other = cookie_of(url)
        assert FORM.search(request(f"{url}/servers/web-1", Cookie=other)[2])[1] != token
        own, path = OWN | {"Cookie": cookie}, "/servers/web-1/silence"

        def ask(headers, path=path, **form):
            return request(url + path, "POST", urlencode({"for": "1h", "token": token} | form).encode(), **headers)[0]

        host = url.removeprefix("https://")
        for status, headers, more in [
            (403, {"Cookie": cookie}, {}),
            (403, own | {"Sec-Fetch-Site": "cross-site"}, {}),
            (403, own | {"Sec-Fetch-Site": "same-site", "Origin": url}, {}),
            (403, {"Cookie": cookie, "Origin": "https://evil.example"}, {}),
            (401, OWN, {}),
            # A scraper's password is no key to write.
            (401, OWN | basic(f":{PASSWORD}"), {}),
            (403, OWN | {"Cookie": other}, {}),
            (403, own, {"token": ""}),
            (403, own, {"token": token[:-1]}),
            (400, own, {"for": "2h"}),
            (404, own, {"path": "/servers/web-2/silence"}),
            (404, own, {"path": "/servers/%23watchdog/silence"}),
        ]:
            assert ask(headers, **more) == status, (headers, more)
        assert request(url + path, **own)[0] == 405
        assert silenced_until(database) is None and events(database) == []
        assert ask({"Cookie": cookie, "Origin": f"https://{host}"}) == 303
        assert silenced_until(database) is not None and len(events(database)) == 1
        # Whoever sends the password with each request sees the page without the form.
        assert FORM.search(request(f"{url}/servers/web-1", **basic(f":{PASSWORD}"))[2]) is None


# C13.14
def test_a_silence_that_cannot_be_recorded_says_so(database, serve_function):
    database.server("web-1", seen=5)
    with serve_function(PAGE_MAY="silence") as url:
        cookie = cookie_of(url)
        token = FORM.search(request(f"{url}/servers/web-1", Cookie=cookie)[2])[1]
        form = urlencode({"for": "1h", "token": token}).encode()
        database.denied.add("PutItem")
        status, _, body = request(f"{url}/servers/web-1/silence", "POST", form, Cookie=cookie, **OWN)
        assert status == 502 and "not recorded" in body and silenced_until(database) is not None
        database.denied.add("UpdateItem")
        assert request(f"{url}/servers/web-1/silence", "POST", form, Cookie=cookie, **OWN)[0] == 502


# C13.14
@pytest.mark.parametrize("settings", [{}, {"PAGE_MAY": "look"}, {"PAGE_MAY": ""}])
def test_a_page_that_may_only_look_has_no_form_and_no_route(database, serve_function, settings):
    database.server("web-1", seen=5)
    with serve_function(**settings) as url:
        cookie = cookie_of(url)
        page = request(f"{url}/servers/web-1", Cookie=cookie)[2]
        assert "/silence" not in page and "token" not in page
        status, headers, _ = request(f"{url}/servers/web-1/silence", "POST", b"for=1h&token=0", Cookie=cookie, **OWN)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert silenced_until(database) is None


# C13.2 C13.14
def test_another_value_stops_the_start(environment):
    settings = environment | {"PAGE_PASSWORD_SHA256": "0" * 64, "PAGE_MAY": "shout", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}
    stopped = subprocess.run([DEBUG / "page"], env=settings, capture_output=True, text=True, timeout=30)
    assert stopped.returncode == 1 and "PAGE_MAY" in stopped.stdout and "shout" not in stopped.stdout


# C13.4
def test_a_form_on_another_site_signs_nobody_in(database, serve_function):
    with serve_function() as url:
        form = f"password={PASSWORD}".encode()
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            status, received, _ = request(f"{url}/login", "POST", form, **headers)
            assert (status, received["set-cookie"]) == (403, None), headers
        assert request(f"{url}/login", "POST", form, Origin=url)[0] == 303


# C13.4
def test_one_signs_out(database, serve_function, chromium):
    database.server("web-1", seen=5)
    with serve_function() as url:
        assert request(f"{url}/logout", "POST", b"", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        status, headers, _ = request(f"{url}/logout", "POST", b"", **OWN)
        assert (status, headers["location"]) == (303, "./")
        assert headers["set-cookie"].startswith("__Host-heartbeat=; ") and "Max-Age=0" in headers["set-cookie"]
        for path in ("/", "/servers/web-1"):
            page = chromium.new_page(ignore_https_errors=True)
            page.goto(url + path)
            page.get_by_label("Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_label("Password")).to_be_visible()
            assert page.context.cookies() == []
            page.close()


# C13.4
@pytest.mark.parametrize("level", ["INFO", "ERROR"])
def test_sign_ins_are_logged_and_never_what_was_typed(database, environment, certificate, tmp_path, level):
    database.server("web-1", seen=5)
    settings = environment | {"PAGE_PASSWORD_SHA256": hashlib.sha256(PASSWORD.encode()).hexdigest()}
    log = tmp_path / "log"
    with log.open("w") as output, deployed(DEBUG / "page", settings, certificate, level, output) as url:
        cookie = cookie_of(url)
        assert request(f"{url}/login", "POST", b"password=T0K3N", **OWN)[0] == 401
        assert request(f"{url}/api/servers", **basic("me:T0K3N"))[0] == 401
        assert request(f"{url}/api/servers", Authorization="Basic T0K3N!")[0] == 401
        # These are no sign-ins.
        assert request(f"{url}/api/servers", **basic(f":{PASSWORD}"))[0] == 200
        assert request(f"{url}/api/servers", Cookie=cookie)[0] == 200
        assert request(f"{url}/api/servers")[0] == 401
    assert "T0K3N" not in log.read_text() and PASSWORD not in log.read_text()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    lines = [line for line in lines if "sign-in" in line["message"]]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "sign-in with the right password"),
        *[("WARN", "sign-in with a wrong password")] * 3,
    ]
    assert all(line["source_ip"] == "192.0.2.1" and len(line["request_id"]) > 5 for line in lines), lines
