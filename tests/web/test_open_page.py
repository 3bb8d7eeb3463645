"""A page that one leaves open: how it is kept up to date, what it says meanwhile, and to whom."""

import json
import re
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from axe import findings
from conftest import PASSWORD, now, stored
from playwright.sync_api import expect
from test_page import MINUTE, after_refreshes, chart, fleet, names, open_server  # noqa: F401

DISK = {"kind": "disk", "name": "/data", "value": 93.1, "limit": 90}


def refreshed(page):
    """Lets the page refresh once, when what it shows would not be the same."""
    page.wait_for_timeout(1_100)
    requests = []

    def note(request):
        if "/fleet" in request.url:
            requests.append(request)

    page.on("request", note)
    # A second at a time: the clock of the page also ends requests that take more than ten.
    for _ in range(1 + int(page.locator("main").get_attribute("data-refresh"))):
        page.clock.run_for(1_000)
        page.wait_for_timeout(10)
        if requests:
            break
    page.remove_listener("request", note)
    assert requests and requests[0].response().ok


def entry(ago, **more):
    return {"M": {"since": {"S": stored(now() - timedelta(seconds=ago))}, **more}}


@pytest.fixture
def troubled(database):
    """A server of each kind of trouble, as our agent sends it, and one that is well."""
    services = {"services": {"M": {"postfix": {"S": "failed"}}}, "reasons": {"M": {"postfix": {"S": "exit code 1"}}}}
    disks = {"disks": {"M": {"/": {"N": "40.2"}, "/data": {"N": "93.1"}}}}
    versions = {"agent_version": {"S": "2.1.0"}, "kernel_version": {"S": "6.1.0-18-amd64"}}
    full, failed = entry(480, limit={"N": "90"}), entry(7200)
    database.server("web-1", seen=2, cpu_percent=5, reading={"services": {"M": {}}})
    database.server("silent", seen=400, cpu_percent=5)
    database.server(
        "db-1", seen=3, item=versions | {"problems": {"M": {"disk_percent:/data": full, "service:postfix": failed}}},
        reading=disks | services, cpu_percent=5, memory_percent=7, security_updates=3, load_1m=1, load_5m=2, load_15m=3,
    )
    database.server("redis", seen=2, cpu_percent=5, reading={"services": {"M": {"redis": {"S": "unknown"}}}})
    database.rules(180, "disk_percent=90")
    return database


def problems(page):
    return page.get_by_role("list", name="Problems")


# C13.7
def test_the_fleet_is_seen_at_one_glance_and_nothing_is_said_twice(troubled, open_page):
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 of 4 are well: 1 offline, 1 with a problem, 1 unknown")
    assert problems(page).get_by_role("listitem").count() == 3
    assert problems(page).get_by_role("link").all_inner_texts() == ["silent", "db-1", "redis"]
    db = problems(page).get_by_role("listitem").nth(1)
    assert db.locator(".what").count() == 2
    said = db.locator(".what", has_text="disk /data")
    # What one sees, what one hears, and what the pointer shows.
    assert re.fullmatch(r"disk /data 93\.1 %, limit 90 % since 8 min ago \(20\S+ \S+ UTC\)", said.text_content())
    assert said.locator(".unseen").first.bounding_box()["width"] <= 1
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", said.locator("time").get_attribute("title"))
    expect(db).to_contain_text("service postfix failed: exit code 1")
    row = page.locator("tbody tr", has_text="db-1")
    assert row.locator(".high").all_inner_texts() == ["93 %", "service postfix"]
    expect(row).to_contain_text("/data")
    expect(row).to_contain_text("3 security updates")
    assert page.locator("tbody").get_by_text(re.compile("limit 90|exit code|8 min ago")).count() == 0
    bad = page.locator("link[rel=icon]").get_attribute("href")
    troubled.clear()
    troubled.server("web-1", seen=2)
    troubled.rules(180, "disk_percent=90")
    page.wait_for_timeout(1_100)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The only server is well")
    assert page.locator("link[rel=icon]").get_attribute("href") != bad
    assert problems(page).count() == 0


# C13.7
def test_a_row_is_one_line_and_when_it_is_opened_its_last_hour(fleet, open_page):  # noqa: F811
    page = open_page(has_clock=True, viewport={"width": 1280, "height": 800})
    heights = page.evaluate("[...document.querySelectorAll('tbody tr')].map((row) => row.offsetHeight)")
    assert len(heights) == 4 and max(heights) < 40, heights
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="The last hour of web-1").click()
    detail = page.locator("tr.detail")
    expect(detail.locator("polyline").first).to_be_attached()
    assert len(asked) == 1 and "/api/servers/web-1/history?since=" in asked[0]
    assert detail.locator("figure").count() == 5
    fleet.server("newcomer", seen=1)
    after_refreshes(page, expect(page.get_by_role("link", name="newcomer")).to_be_visible)
    # A refresh leaves it open.
    expect(detail.locator("polyline").first).to_be_attached()
    button = page.get_by_role("button", name="The last hour of web-1")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(detail).to_have_count(0)


# C13.7
def test_a_server_says_what_is_wrong_first_and_then_everything(troubled, open_page):
    page = open_page("/servers/db-1")
    assert problems(page).get_by_role("listitem").count() == 2
    expect(problems(page)).to_contain_text("service postfix failed: exit code 1")
    order = "[...document.querySelectorAll('.problems, #charts, dl.machine, .events, #happened')].map((each) => each.id || each.className)"
    assert page.evaluate(order) == ["problems", "charts", "machine", "happened"]
    machine = page.locator("dl.machine")
    assert [line.split() for line in machine.locator("dd").all_inner_texts()[:3]] == [
        ["93", "%", "/data"], ["40", "%", "/"], ["failed", "postfix:", "exit", "code", "1"],
    ]
    expect(machine).to_contain_text("2.1.0")
    expect(machine).to_contain_text("6.1.0-18-amd64")
    assert page.locator("form.silence").count() == 0


# C13.15
def test_everything_on_a_servers_page_is_refreshed(fleet, open_page):  # noqa: F811
    page = open_page("/servers/web-1", has_clock=True)
    expect(page).to_have_title("web-1 – heartbeat")
    icon = page.locator("link[rel=icon]").get_attribute("href")
    since = stored(now() - timedelta(seconds=400))
    fleet.server("web-1", seen=400)
    fleet.event(10, offline=[{"server_id": "web-1", "last_seen": since}])
    after_refreshes(page, partial(expect(page.locator(".summary .status")).to_contain_text, "offline"))
    expect(page.locator(".summary")).to_contain_text("7 min ago")
    expect(problems(page)).to_contain_text("offline since")
    expect(page.get_by_role("list", name="What happened in seven days")).to_contain_text("web-1 is offline")
    expect(page).to_have_title("web-1: offline – heartbeat")
    assert page.locator("link[rel=icon]").get_attribute("href") != icon


# C13.10
def test_what_a_search_found_is_shown(fleet, open_page):  # noqa: F811
    for name in ("web-1", "db-1"):
        fleet.server(name, seen=5, item={"os_distribution": {"S": "Debian GNU/Linux"}})
    page = open_page("/?search=debian")
    if page.url.endswith("/"):
        # Signing in leads to the fleet.
        page.goto(f"{page.url}?search=debian")
    assert sorted(names(page)) == ["db-1", "web-1"]
    search = page.get_by_label("Search")
    with page.expect_response(lambda response: response.url.endswith("/fleet")):
        search.fill("")
    expect(page.locator("tbody tr")).to_have_count(4)
    with page.expect_response(lambda response: response.url.endswith("fleet?search=debian")):
        search.fill("debian")
    expect(page.locator("tbody tr:visible")).to_have_count(2)
    assert sorted(names(page)) == ["db-1", "web-1"]


# C13.9
def test_times_say_their_zone_and_the_hour_that_clocks_repeat_is_told_apart(fleet, open_page):  # noqa: F811
    start = datetime(2026, 10, 24, 22, tzinfo=timezone.utc)
    times = [start + MINUTE * minute for minute in range(360)]
    fleet.rows("web-1", times, cpu_percent=lambda number: number / 10)
    since, until = (int(time.timestamp() * 1000) for time in (start, start + MINUTE * 360))
    options = {"timezone_id": "Europe/Berlin", "locale": "en-GB"}
    page = open_page(f"/servers/web-1#{since}-{until}", **options)
    cpu = chart(page, "cpu_percent")
    expect(cpu.locator("polyline").first).to_be_visible()
    labels = cpu.locator("text[text-anchor=middle]").all_text_contents()
    assert len(labels) == len(set(labels)) and {"02:00 CEST", "02:00 CET"} <= set(labels), labels
    for each in page.locator("svg.chart").all():
        assert each.get_by_text("CEST/CET", exact=True).count() == 1
    expect(page.locator("#shown")).to_contain_text("CEST/CET, ")
    box = cpu.bounding_box()
    said = set()
    # Half past two, twice.
    for hours in (2.5, 3.5):
        cpu.hover(position={"x": 46 + (box["width"] - 54) * hours / 6, "y": 50})
        said.add(page.locator("figure", has=cpu).locator("output").inner_text().split(": ")[0])
    assert any(time.endswith("CEST") for time in said) and any(time.endswith("CET") for time in said), said


# C13.15
def test_a_request_that_hangs_is_said_in_time(fleet, open_page):  # noqa: F811
    page = open_page(has_clock=True, timezone_id="Europe/Berlin", locale="en-GB")
    interval = int(page.locator("#fleet").get_attribute("data-refresh"))
    hanging = []
    page.route(re.compile("/fleet"), lambda route: hanging.append(route))
    page.clock.run_for((interval + 1) * 1000)
    page.wait_for_timeout(300)
    assert len(hanging) > 0
    expect(page.locator("#stale")).to_be_hidden()
    page.clock.run_for(10_000)
    expect(page.locator("#stale")).to_contain_text(re.compile(r"Not refreshed since \d\d:\d\d CES?T"))


# C13.15
def test_a_clock_that_is_set_back_stops_nothing(fleet, open_page):  # noqa: F811
    page = open_page(has_clock=True)
    page.clock.set_system_time(datetime(2020, 1, 1))
    fleet.server("newcomer", seen=1)
    after_refreshes(page, expect(page.get_by_role("link", name="newcomer")).to_be_visible)
    expect(page.locator("#stale")).to_be_hidden()


# C13.15
@pytest.mark.parametrize("path", ["/", "/servers/web-1"])
def test_after_the_end_of_the_session_nothing_is_polled_and_one_can_sign_in(fleet, serve_function, chromium, path):  # noqa: F811
    with serve_function() as url:
        page = chromium.new_page(ignore_https_errors=True)
        page.clock.install()
        page.goto(url + path)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("#at")).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.context.clear_cookies()
        page.clock.run_for(61_000)
        link = page.get_by_role("link", name="Sign in")
        expect(link).to_be_visible()
        assert "{" not in page.locator("#stale").inner_text()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(600_000)
        page.wait_for_timeout(200)
        assert asked == []
        link.click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.close()


# C13.15
def test_a_refresh_leaves_focus_place_and_selection(database, open_page):
    database.servers(200)
    database.rules(180, "none")
    page = open_page(has_clock=True)
    link = page.get_by_role("link", name="web-150", exact=True)
    link.focus()
    page.evaluate(
        "() => { const text = document.querySelector('tr[data-key=web-140] small').firstChild;"
        " getSelection().setBaseAndExtent(text, 0, text, 7); }"
    )
    top = link.bounding_box()["y"]
    assert page.evaluate("scrollY") > 2_000
    # It comes first, and another one goes down.
    database.server("web-199", seen=400)
    database.server("web-0", seen=4)
    after_refreshes(page, expect(problems(page).get_by_role("link", name="web-199")).to_be_visible)
    assert page.evaluate("document.activeElement.textContent") == "web-150"
    assert page.evaluate("getSelection().toString()") == "web-140"
    assert abs(link.bounding_box()["y"] - top) < 50, (link.bounding_box(), top)


SPOKEN = """() => {
  window.spoken = [];
  const regions = [...document.querySelectorAll("[role=status], [role=alert], [role=log], [aria-live], output")];
  for (const region of regions) {
    if (region.getAttribute("aria-live") === "off") continue;
    const note = () => window.spoken.push(region.textContent);
    new MutationObserver(note).observe(region, { childList: true, characterData: true, subtree: true });
  }
}"""


# C13.15
@pytest.mark.parametrize("path", ["/", "/servers/web-1"])
def test_a_screen_reader_is_told_once_when_something_becomes_wrong(fleet, open_page, path):  # noqa: F811
    page = open_page(path, has_clock=True)
    page.wait_for_load_state("networkidle")
    page.evaluate(SPOKEN)
    for seen in (31, 32, 33):
        fleet.server("web-1", seen=seen, cpu_percent=seen)
        refreshed(page)
        expect(page.locator("main")).to_contain_text(f"{seen} %" if path == "/" else re.compile("3. s ago"))
    assert page.evaluate("spoken") == []
    fleet.server("web-1", seen=400)
    shown = page.locator(".summary .status") if path != "/" else page.locator("tr[data-key=web-1] .status")
    for _ in range(3):
        refreshed(page)
        expect(shown).to_contain_text("offline")
    (spoken,) = page.evaluate("spoken")
    assert "offline" in spoken


# C13.15
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(troubled, open_page, scheme):
    since = stored(now() - timedelta(hours=1))
    troubled.event(3600, problems=[DISK | {"server_id": "db-1", "since": since}], offline=[{"server_id": "gone", "last_seen": since}])
    times = [now() - MINUTE * ago for ago in range(50, 0, -1)]
    loads = {f"load_{name}": (lambda number: number) for name in ("1m", "5m", "15m")}
    troubled.rows("db-1", times, cpu_percent=lambda number: number, **loads)
    page = open_page(color_scheme=scheme)
    page.get_by_role("button", name="The last hour of db-1").click()
    expect(page.locator("tr.detail polyline").first).to_be_visible()
    assert findings(page) == []
    page.goto(page.url.split("?")[0] + "servers/db-1")
    load = chart(page, "load_1m")
    expect(load.locator("polyline").first).to_be_visible()
    assert findings(page) == []
    # Lines differ by more than their colour.
    dashes = [load.locator(f".mean.line-{line}").first.evaluate("line => getComputedStyle(line).strokeDasharray") for line in range(3)]
    assert len(set(dashes)) == 3, dashes
    page.go_back()
    assert page.get_by_label("Search").evaluate("input => getComputedStyle(input).fontSize") == "16px"


# C13.15
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_form(database, serve_function, chromium, scheme):
    with serve_function() as url:
        page = chromium.new_page(ignore_https_errors=True, color_scheme=scheme)
        page.goto(url)
        assert findings(page) == []
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        assert findings(page) == []
        page.close()


# C13.15
def test_a_browser_without_new_colours_has_colours(web, request_text):
    style = request_text(re.search(r'href="(style\.\w+\.css)"', request_text(""))[1])
    assert "light-dark(" not in style and "prefers-color-scheme: dark" in style


# C13.15
@pytest.mark.parametrize(("path", "first", "second"), [("/", 3, 1), ("/servers/web-1", 4, 2)])
def test_a_visit_is_few_requests_and_the_next_one_fewer(fleet, open_page, path, first, second):  # noqa: F811
    counts = []
    page = open_page(path)
    for _ in range(2):
        # What comes from the cache is no request.
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        sizes = []
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto("about:blank")
        if not counts:
            session.send("Network.clearBrowserCache")
        page.goto(open_page.url + path)
        page.wait_for_load_state("networkidle")
        asked = [size for size in sizes if size > 0]
        counts.append(len(asked))
        print(f"{path}: {len(asked)} requests, {sum(asked):.0f} bytes")
        session.detach()
    assert counts == [first, second]


# C15.6
def test_a_refresh_does_not_read_the_events_of_a_year_again(fleet, open_page):  # noqa: F811
    registered = {"registered_at": {"S": stored(now() - timedelta(days=40))}}
    fleet.server("web-1", seen=5, item=registered)
    fleet.rules(180, "none", events_since=stored(now() - timedelta(days=40)))
    page = open_page()

    def refresh():
        fleet.counts.clear()
        html = page.request.get(f"{open_page.url}/fleet/web-1").json()["html"]
        return fleet.counts["Query"], re.search(r"Uptime: [^<]*", html)[0]

    assert refresh() == (2, "Uptime: 100 % of 7 d, 100 % of 30 d, 100 % of 40 d")
    assert refresh() == (1, "Uptime: 100 % of 7 d, 100 % of 30 d, 100 % of 40 d")
    hours = [stored(now() - timedelta(hours=ago)) for ago in (42, 0)]
    back = {"server_id": "web-1", "offline_since": hours[0], "returned_at": hours[1]}
    fleet.event(0, of=":web-1", back=[back])
    # A quarter of a week, cut off, and less if a moment has passed since.
    queries, uptime = refresh()
    assert queries == 2 and re.match(r"Uptime: 7(4\.99|5) % of 7 d, ", uptime), uptime
    assert refresh()[0] == 1


# C13.15
def test_too_many_requests_are_tried_again(fleet, open_page):  # noqa: F811
    page = open_page()
    rejected = []

    def reject_twice(route):
        if len(rejected) < 2:
            rejected.append(route.request.url)
            return route.fulfill(status=429, json={"message": "Too Many Requests"})
        route.continue_()

    page.context.route(re.compile("/fleet/"), reject_twice)
    page = page.context.new_page()
    page.goto(open_page.url + "/servers/web-1#6h")
    expect(page.locator("#charts polyline").first).to_be_visible()
    assert len(rejected) == 2
    expect(page.locator("#stale")).to_be_hidden()


def test_escape_leads_from_a_zoomed_address_to_the_default_range(fleet, open_page):  # noqa: F811
    since, until = (int((now() - MINUTE * ago).timestamp() * 1000) for ago in (120, 60))
    page = open_page(f"/servers/web-1#{since}-{until}")
    cpu = chart(page, "cpu_percent")
    expect(cpu.locator("polyline").first).to_be_visible()
    cpu.focus()
    page.keyboard.press("Escape")
    expect(page.locator("nav a[aria-current]")).to_have_text("24h")
    expect(page).to_have_title("web-1 – heartbeat")


# C13.9
def test_the_time_before_its_registration_is_no_absence(fleet, open_page):  # noqa: F811
    registered = {"registered_at": {"S": stored(now() - MINUTE * 121)}}
    fleet.server("web-1", seen=20, item=registered)
    page = open_server(open_page)
    cpu = chart(page, "cpu_percent")
    expect(cpu.locator(".unregistered title")).to_have_text("not registered yet")
    width = cpu.bounding_box()["width"] - 54
    assert abs(float(cpu.locator(".unregistered").get_attribute("width")) / width * 360 - 239) < 3
    # The half hour.
    assert cpu.locator(".absent").count() == 1


# C13.7
def test_what_happened_to_a_server_that_was_forgotten_has_no_link(fleet, open_page):  # noqa: F811
    since = stored(now() - timedelta(hours=1))
    fleet.event(3600, offline=[{"server_id": "gone", "last_seen": since}, {"server_id": "web-2", "last_seen": since}])
    page = open_page()
    happened = page.get_by_role("list", name="What happened in seven days")
    expect(happened).to_contain_text("gone is offline")
    assert happened.get_by_role("link").all_inner_texts() == ["web-2"]
    # A group alone knows only its own.
    fleet.server("web-2", seen=30, item={"group": {"S": "web"}})
    page.goto(f"{open_page.url}/?group=web")
    expect(happened).to_contain_text("gone is offline")
    assert happened.get_by_role("link").all_inner_texts() == ["web-2"]
    fleet.server("db-1", seen=10, item={"group": {"S": "db"}})
    page.goto(f"{open_page.url}/?group=db")
    expect(happened).to_contain_text("gone is offline")
    assert happened.get_by_role("link").count() == 0


# C13.15
@pytest.mark.parametrize("path", ["/", "/servers/db-1", "/?search=db"])
def test_all_but_charts_works_without_a_script(troubled, open_page, path):
    page = open_page(path, java_script_enabled=False)
    if path != page.url.removeprefix(open_page.url):
        page.goto(open_page.url + path)
    expect(page.locator("main")).to_contain_text("disk /data 93.1 %, limit 90 %")
    assert page.locator("button.open:visible").count() == 0
    assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
    if path.startswith("/?"):
        assert names(page) == ["db-1"]


# C13.15
def test_the_script_is_small_and_a_new_version_has_another_name(web, request_text):
    script = request_text(re.search(r'src="(app\.[0-9a-f]+\.js)"', request_text(""))[1])
    print(f"the script has {len(script.encode())} bytes")
    assert len(script.encode()) < 25_000
