"""The page in a real browser."""

import re
import time
import urllib.error
import urllib.request
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler
from urllib.parse import urljoin, urlsplit

import pytest
from conftest import PASSWORD, now, stored
from gateway import serving
from playwright.sync_api import expect

MINUTE = timedelta(minutes=1)


@pytest.fixture
def fleet(database):
    """Two healthy servers, a full disk, and a silent one; two hours of rows of web-1 with half an hour missing."""
    database.server("web-1", seen=20, cpu_percent=12, memory_percent=40, disk_percent=30)
    database.server("web-2", seen=30, cpu_percent=50)
    database.server("db-1", seen=10, disk_percent=97.4)
    database.server("mail", seen=3600)
    database.rules(180, "disk_percent=90")
    times = [now() - MINUTE * ago for ago in range(120, 0, -1) if not 40 <= ago < 70]
    rates = {"network_rx_bytes": lambda number: number * 60_000}
    database.rows(
        "web-1", times, cpu_percent=lambda number: 90 if number in (20, 21) else 10, disk_percent=lambda _: 30, **rates
    )
    return database


def names(page):
    return page.locator("tbody tr:visible th a").all_inner_texts()


def open_server(open_page, **options):
    page = open_page("/servers/web-1#6h", **options)
    expect(page.locator("#charts svg polyline").first).to_be_visible()
    return page


def chart(page, metric):
    return page.locator(f"svg[data-metric={metric}]")


def test_problems_come_first_and_a_search_finds_a_server(fleet, open_page):
    page = open_page()
    assert names(page) == ["mail", "db-1", "web-1", "web-2"]
    mail = page.locator("tr", has_text="mail.example.com")
    expect(mail).to_contain_text("offline")
    assert page.locator("tr", has_text="db-1").locator("meter").get_attribute("value") == "97.4"
    expect(page).to_have_title("2 of 4 are well: 1 offline, 1 with a problem – heartbeat")
    expect(page.get_by_role("list", name="Problems")).to_contain_text("mail: offline since")
    page.get_by_label("Search").fill("web example")
    assert names(page) == ["web-1", "web-2"]
    with page.expect_response(lambda response: response.url.endswith("fleet?search=offline")):
        page.get_by_label("Search").fill("offline")
    assert names(page) == ["mail"]
    assert page.url.endswith("/?search=offline")
    page.reload()
    assert names(page) == ["mail"] and page.get_by_label("Search").input_value() == "offline"


# C13.7
def test_a_fleet_without_a_problem_is_well(database, open_page):
    for number in range(11):
        reading = {"reboot_required": 1, "security_updates": 3} if number == 0 else {}
        database.server(f"web-{number}", seen=5, disk_percent=95, disk_total_gb=100, disk_used_gb=95, **reading)
    database.rules(180, "disk_percent=90/24h")
    page = open_page()
    expect(page.get_by_text("All 11 servers are well")).to_be_visible()
    expect(page).to_have_title("All 11 servers are well – heartbeat")
    remarks = page.locator("tbody tr", has_text="needs a reboot")
    expect(remarks).to_contain_text("3 security updates")
    # At its limit, which has not lasted: only painted.
    assert page.locator("tbody .high").count() == 11
    expect(page.locator("tbody tr").first).to_contain_text("5.0 GB")


# C13.7
def test_what_happened_is_listed_and_marked_in_every_chart(fleet, open_page):
    since = stored(now() - MINUTE * 100)
    disk = {"server_id": "web-1", "kind": "disk", "name": "/<b>", "value": 93.1, "limit": 90, "since": since}
    fleet.event(8 * 86_400, offline=[{"server_id": "web-2", "last_seen": since}])
    fleet.event(90 * 60, problems=[disk], offline=[{"server_id": "web-2", "last_seen": since}])
    fleet.event(60 * 60, solved=[disk | {"end": "solved"}])
    page = open_page()
    happened = page.get_by_role("list", name="What happened in seven days").get_by_role("listitem")
    expect(happened).to_have_count(3)
    expect(happened.nth(0)).to_contain_text(re.compile("UTC web-1: disk /<b> 93.1 %, limit 90 %, solved; it began"))
    expect(happened.nth(1)).to_contain_text("web-2 is offline since")
    expect(happened.nth(2)).to_contain_text("web-1: disk /<b> 93.1 %, limit 90 %, since")
    happened.nth(2).get_by_role("link").click()
    expect(page).to_have_title("web-1 – heartbeat")
    expect(happened).to_have_count(2)
    page = open_server(open_page)
    for svg in page.locator("#charts svg").all():
        marks = [mark.evaluate("mark => mark.textContent.split(', since')[0]") for mark in svg.locator(".mark").all()]
        assert [mark.split(";")[0] for mark in marks] == [
            "web-1: disk /<b> 93.1 %, limit 90 %, solved",
            "web-1: disk /<b> 93.1 %, limit 90 %",
        ]
    (mark,) = chart(page, "cpu_percent").locator(".mark.problems").all()
    width = chart(page, "cpu_percent").bounding_box()["width"]
    assert abs((float(mark.get_attribute("x1")) - 46) / (width - 54) * 360 - 270) < 3


# What is not known is not said to be nothing.
def test_a_fleet_whose_events_cannot_be_read_is_shown_and_says_so(fleet, open_page):
    fleet.denied.add("Query")
    page = open_page()
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.get_by_text("It cannot be read.")).to_contain_text("AccessDeniedException")
    fleet.denied.clear()
    page.reload()
    expect(page.get_by_text("No announcement is recorded.")).to_be_visible()


# C13.1
def test_it_works_under_a_path_that_a_proxy_removes(fleet, serve, chromium):
    with serve() as url:
        upstream = url

        class Proxy(BaseHTTPRequestHandler):
            def do_GET(self):
                assert self.path.startswith("/hb/"), self.path
                try:
                    with urllib.request.urlopen(upstream + self.path.removeprefix("/hb")) as response:
                        status, headers, content = response.status, response.headers, response.read()
                except urllib.error.HTTPError as error:
                    status, headers, content = error.code, error.headers, error.read()
                self.send_response(status)
                for name in ("content-type", "content-security-policy"):
                    self.send_header(name, headers[name])
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        with serving(Proxy) as port:
            failed = []
            page = chromium.new_page()
            page.on("response", lambda response: failed.append(response.url) if response.status != 200 else None)
            page.goto(f"http://127.0.0.1:{port}/hb/")
            page.get_by_role("link", name="web-1").first.click()
            expect(page.locator("#charts svg polyline").first).to_be_visible()
            page.get_by_role("link", name="Fleet").click()
            expect(page.locator("tbody tr")).to_have_count(4)
            page.close()
            assert failed == []


# C13.4
def test_a_wrong_password_an_old_cookie_and_a_new_password_ask_again(fleet, serve_function, chromium):
    with serve_function() as url:
        page = chromium.new_page(ignore_https_errors=True, viewport={"width": 360, "height": 740})
        page.goto(f"{url}/servers/web-1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the password.")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        # It leads to what was asked for.
        expect(page).to_have_title("web-1 – heartbeat")
        page.goto(url)
        expect(page.locator("tbody tr")).to_have_count(4)
        (cookie,) = page.context.cookies()
        page.context.clear_cookies()
        page.context.add_cookies([cookie | {"value": "1." + cookie["value"].split(".")[1]}])
        page.goto(url)
        expect(page.get_by_label("Password")).to_be_visible()
        page.context.add_cookies([cookie])
        page.goto(url)
        expect(page.locator("tbody tr")).to_have_count(4)
    with serve_function("another") as url:
        page.context.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": url, "secure": True}])
        page.goto(url)
        expect(page.get_by_label("Password")).to_be_visible()
        page.close()


# C13.10
def test_of_five_thousand_servers_the_first_are_painted_and_a_search_finds_the_others(database, open_page):
    database.servers(5000)
    database.server("web-4999", seen=3600)
    page = open_page()
    expect(page.locator("tbody tr")).to_have_count(1000)
    expect(page.get_by_text("The first 1000 of 5000 servers")).to_be_visible()
    assert names(page)[0] == "web-4999"
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    # How long depends on the machine.
    print(f"the first paint of 5,000 servers took {paint:.0f} ms")
    assert paint > 0
    page.get_by_label("Search").fill("web-499")
    expect(page.locator("tbody tr")).to_have_count(11)
    assert len(names(page)) == 11


def after_refreshes(page, expectation):
    """Lets the time between two refreshes pass for the page until this holds. What a page shows may be a second old. What it
    searches may be ten, unless another has read the fleet since: this does. It is patient for three times that anyway."""
    until = time.monotonic() + 30
    while True:
        page.request.get(urljoin(page.url, "/"))
        page.clock.run_for(60_000)
        try:
            return expectation(timeout=500)
        except AssertionError:
            if time.monotonic() > until:
                raise


def test_a_refresh_sees_a_new_heartbeat_and_a_server_that_goes_offline(fleet, open_page):
    page = open_page(has_clock=True)
    page.get_by_role("link", name="web-2").focus()
    page.get_by_label("Search").fill("e")
    page.get_by_role("link", name="web-2").focus()
    fleet.server("newcomer", seen=1, cpu_percent=1)
    fleet.server("web-2", seen=200)
    after_refreshes(page, expect(page.get_by_role("link", name="newcomer")).to_be_visible)
    expect(page.locator("tr", has_text="web-2")).to_contain_text("offline")
    # A refresh takes neither the search nor the focus away.
    assert page.get_by_label("Search").input_value() == "e"
    assert page.evaluate("document.activeElement.textContent") == "web-2"


# C13.7
def test_a_click_opens_a_server_with_a_chart_for_each_question(fleet, open_page):
    page = open_page()
    page.locator("tbody").get_by_role("link", name="web-1").click()
    expect(page).to_have_title("web-1 – heartbeat")
    expect(page.locator("#charts svg")).to_have_count(5)
    expect(page.locator("nav a[aria-current]")).to_have_text("24h")
    expect(chart(page, "cpu_percent").locator("polyline").first).to_be_visible()
    # The peak is in the band although the mean of its bucket is lower.
    expect(page.locator("figure", has=chart(page, "cpu_percent")).locator("output")).to_have_text("10 % to 90 %")
    expect(page.locator("figure", has=chart(page, "network_rx_bytes")).locator("output")).to_have_text("1 kB/s")
    expect(page.locator("figure", has=chart(page, "load_1m")).locator("output")).to_have_text("no values")
    # The limit of the watchdog's default.
    assert chart(page, "disk_percent").locator(".limit").count() == 1
    assert chart(page, "cpu_percent").locator(".limit").count() == 0


def test_a_rate_of_any_size_is_short(database, open_page):
    database.server("web-1", seen=5)
    times = [now() - MINUTE * ago for ago in range(10, 0, -1)]
    database.rows("web-1", times, network_rx_bytes=lambda number: number * 60 * 10**15)
    page = open_page("/servers/web-1#6h")
    expect(page.locator("figure", has=chart(page, "network_rx_bytes")).locator("output")).to_have_text("1 PB/s")


def test_absences_are_shaded_and_lines_do_not_cross_them(fleet, open_page):
    page = open_server(open_page)
    cpu = chart(page, "cpu_percent")
    # Before the first row, and the half hour.
    assert cpu.locator(".absent").count() == 2
    assert cpu.locator("polyline").count() == 2
    widths = [float(rect.get_attribute("width")) for rect in cpu.locator(".absent").all()]
    share = widths[1] / (cpu.bounding_box()["width"] - 54)
    assert 28 < share * 360 < 32, widths


def test_the_range_changes(fleet, open_page):
    page = open_server(open_page)
    for range, minutes in (("1h", "1 min"), ("7d", "30 min"), ("30d", "120 min")):
        page.locator("nav a", has_text=range).click()
        expect(page.locator("nav a[aria-current]")).to_have_text(range)
        expect(page.locator("#shown")).to_contain_text(f"{minutes} per point")
    page.go_back()
    expect(page.locator("nav a[aria-current]")).to_have_text("7d")


def test_a_drag_zooms_in_and_a_double_click_out(fleet, open_page):
    page = open_server(open_page)
    before = page.locator("#shown").inner_text()
    box = chart(page, "cpu_percent").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.7, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=4)
    assert float(chart(page, "cpu_percent").locator(".selection").get_attribute("width")) > 20
    page.mouse.up()
    expect(page.locator("#shown")).to_contain_text("1 min per point")
    since, until = map(int, urlsplit(page.url).fragment.split("-"))
    width = box["width"]
    expected = 6 * 3600 * 1000 * width * 0.1 / (width - 54)
    assert abs(until - since - expected) < 120_000
    expect(page.locator("#shown")).not_to_have_text(before)
    page.mouse.dblclick(box["x"] + box["width"] / 2, y)
    expect(page.locator("nav a[aria-current]")).to_have_text("6h")


def test_the_pointer_shows_the_values(fleet, open_page):
    page = open_server(open_page)
    cpu = chart(page, "cpu_percent")
    box = cpu.bounding_box()
    # The peak: 100 minutes ago, of six hours. A pixel is more than a minute, and the page is a moment old.
    x = 46 + (box["width"] - 54) * (1 - 100 / 360)
    output = page.locator("figure", has=cpu).locator("output")

    def points_at(pixels):
        cpu.hover(position={"x": x + pixels, "y": 50})
        return "90 %" in output.inner_text()

    assert any(map(points_at, (0, -1, 1, -2, 2, -3, 3)))
    assert cpu.locator(".cursor").get_attribute("visibility") == "visible"


def test_the_keyboard_reads_and_zooms(fleet, open_page):
    page = open_server(open_page)
    cpu = chart(page, "cpu_percent")
    output = page.locator("figure", has=cpu).locator("output")
    cpu.focus()
    page.keyboard.press("ArrowLeft")
    newest = output.inner_text()
    page.keyboard.press("ArrowLeft")
    assert output.inner_text() != newest and newest.endswith("10 %")
    for _ in range(20):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"#\d+-\d+$"))
    page.keyboard.press("Escape")
    page.wait_for_url("**#6h")


def test_a_screen_reader_gets_titles_labels_and_a_table(fleet, open_page):
    page = open_page(viewport={"width": 390, "height": 800})
    assert page.get_by_role("table").count() == 1
    assert page.get_by_role("row").count() == 4
    assert page.get_by_role("rowheader", name="web-1").count() == 1
    page = open_server(open_page)
    assert page.get_by_role("img", name="CPU, %").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("path", ["/", "/servers/web-1"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_in_light_and_dark(fleet, open_page, path, scheme):
    page = open_page(path, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
    assert red > 200 if scheme == "light" else red < 60
    if path == "/":
        for cell in page.locator("tbody tr").first.locator("td").all():
            box = cell.bounding_box()
            assert box["x"] + box["width"] <= 360


def test_hostile_host_names_do_nothing(database, open_page):
    hostile = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(2)>',
        "<a href=javascript:alert(3)>click</a>",
        "</table><h1>gone</h1>",
        "<svg onload=alert(4)>",
        "{{7*7}}\u202etxt",
    ]
    for number, hostname in enumerate(hostile):
        database.server(f"web-{number}", seen=1, hostname=hostname)
    page = open_page(has_clock=True)
    shown = page.locator("tbody th small").all_inner_texts()
    assert sorted(shown) == sorted(name.replace("\u202e", "\ufffd") for name in hostile)
    assert page.locator("tbody img, tbody script, tbody h1, tbody svg").count() == 0
    page.goto(page.url + "servers/web-0")
    expect(page.locator(".summary")).to_contain_text(hostile[0])
    # And after a refresh, which sets HTML.
    page.go_back()
    database.server("web-9", seen=1, hostname=hostile[1])
    after_refreshes(page, expect(page.get_by_role("link", name="web-9")).to_be_visible)


def test_a_fault_of_aws_is_said_and_tried_again(fleet, open_page):
    fleet.is_down = True
    page = open_page(expect_errors=True, has_clock=True)
    expect(page.get_by_role("alert")).to_contain_text("AccessDeniedException")
    assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == ("60" if page.url.startswith("https:") else "10")
    fleet.is_down = False
    page.reload()
    expect(page.get_by_role("link", name="web-1")).to_be_visible()
    # An open page keeps what it shows.
    fleet.is_down = True
    after_refreshes(page, partial(expect(page.locator("#stale")).to_contain_text, "Not refreshed"))
    expect(page.get_by_role("link", name="web-1")).to_be_visible()
    fleet.is_down = False
    after_refreshes(page, expect(page.locator("#stale")).to_be_hidden)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_the_axis_ends_at_local_midnight_when_the_clocks_change(fleet, open_page, zone):
    # 23 to 30 October, and 30 October to 6 November 2026.
    for since, until in ((1792713600000, 1793404800000), (1793318400000, 1794009600000)):
        page = open_page(f"/servers/web-1#{since}-{until}", timezone_id=zone, locale="en-US")
        expect(page.locator("#shown")).to_contain_text("No readings")
        ticks = chart(page, "cpu_percent").locator("text[text-anchor=middle]")
        labels = ticks.all_text_contents()
        assert len(labels) == len(set(labels)) >= 4, labels
        step = (until - since) / (chart(page, "cpu_percent").bounding_box()["width"] - 54)
        for tick in ticks.all():
            time = since + (float(tick.get_attribute("x")) - 46) * step
            hour = page.evaluate(
                "(time) => { const at = new Date(time); return at.getHours() + at.getMinutes() / 60 }", time
            )
            assert min(hour, 24 - hour) < 0.2, (labels, hour)
