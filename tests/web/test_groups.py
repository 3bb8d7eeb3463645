"""Groups of servers, whoever is gone, and whoever is silenced, in a browser."""

import re
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from axe import findings
from conftest import SERVERS, now, stored
from playwright.sync_api import expect
from test_open_page import problems, refreshed
from test_page import after_refreshes, names

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def grouped(database):
    """Two groups, one with a server that is offline, and a server in none."""
    for server, group, seen in (
        ("web-1", "web", 5), ("web-2", "web", 5), ("web-3", "web", 400), ("web-10", "web", 5),
        ("db-1", "db", 5), ("cache", "cache", 5), ("alone", None, 5),
    ):  # fmt: skip
        item = {"group": {"S": group}} if group else {}
        database.server(server, seen=seen, item=item, cpu_percent=5, reading={"services": {"M": {}}})
    database.rules(180, "none")
    return database


def group(page, name):
    return page.locator("details", has=page.get_by_role("heading", name=name, exact=True))


# C13.7
@pytest.mark.parametrize("has_script", [True, False])
def test_groups_are_headings_that_fold(grouped, open_page, has_script):
    page = open_page(java_script_enabled=has_script, viewport={"width": 1280, "height": 800})
    headings = page.locator("summary h2").all_inner_texts()
    assert headings == ["web", "cache", "db", "in no group"]
    expect(group(page, "web").locator("summary")).to_contain_text("3 of 4 are well: 1 offline")
    expect(group(page, "db").locator("summary")).to_contain_text("The only server is well")
    assert names(page) == ["web-3", "web-1", "web-2", "web-10", "cache", "db-1", "alone"]
    # One under the other, with their names once.
    places = "[...document.querySelectorAll('tbody td:nth-child(4)')].map((cell) => cell.getBoundingClientRect().x)"
    assert len(set(page.evaluate(places))) == 1
    clips = "[...document.querySelectorAll('thead')].map((head) => getComputedStyle(head).position)"
    assert page.evaluate(clips) == ["static", "absolute", "absolute", "absolute"]
    group(page, "web").locator("summary").click()
    assert names(page) == ["cache", "db-1", "alone"]
    assert page.evaluate(clips)[1] == "static"
    group(page, "web").locator("summary").click()
    assert len(names(page)) == 7


# C13.7 C13.15
def test_a_group_stays_folded(grouped, open_page):
    page = open_page(has_clock=True)
    group(page, "db").locator("summary").click()
    expect(page.locator("tr[data-key=db-1]")).to_be_hidden()
    grouped.server("newcomer", seen=1)
    after_refreshes(page, expect(page.get_by_role("link", name="newcomer")).to_be_visible)
    expect(page.locator("tr[data-key=db-1]")).to_be_hidden()
    # What is wrong in it is said all the same.
    grouped.server("db-1", seen=400, item={"group": {"S": "db"}})
    after_refreshes(page, partial(expect(group(page, "db").locator("summary")).to_contain_text, "1 offline"))
    expect(problems(page)).to_contain_text("db-1")
    page.locator("tbody").get_by_role("link", name="web-1", exact=True).click()
    expect(page.locator("#charts svg").first).to_be_attached()
    page.go_back()
    expect(page.locator("tr[data-key=web-1]")).to_be_visible()
    expect(page.locator("tr[data-key=db-1]")).to_be_hidden()


# C13.10 C14.2
def test_a_search_and_a_group_alone_have_no_headings(grouped, open_page):
    page = open_page()
    group(page, "db").locator("summary").click()
    page.get_by_role("button", name="The last hour of cache").click()
    expect(page.locator("tr.detail figure")).to_have_count(5)
    with page.expect_response(lambda response: "fleet?search=" in response.url):
        page.get_by_label("Search").fill("example")
    expect(page.locator("details")).to_have_count(0)
    expect(page.locator("tbody tr[data-key=db-1]")).to_be_visible()
    # It is in another table now.
    expect(page.locator("tr.detail")).to_have_count(1)
    expect(page.locator("tr.detail figure")).to_have_count(5)
    page.goto(f"{open_page.url}/?group=web")
    expect(page.get_by_role("heading", level=1)).to_have_text("3 of 4 are well: 1 offline")
    assert page.locator("details").count() == 0
    assert names(page) == ["web-3", "web-1", "web-2", "web-10"]


# C13.15
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_groups(grouped, open_page, scheme):
    page = open_page(color_scheme=scheme)
    group(page, "db").locator("summary").click()
    assert findings(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


# C14.3
def test_who_was_shut_down_in_an_ephemeral_group_is_gone_and_counted_nowhere(database, open_page):
    database.call("PutItem", TableName=SERVERS, Item={"server_id": {"S": "#groups"}, "spot": {"M": {"ephemeral": {"BOOL": True}}}})
    left = now() - timedelta(seconds=400)
    item = {"group": {"S": "spot"}, "left_at": {"S": stored(left)}, "last_seen": {"S": stored(left)}}
    database.server("spot-1", seen=400, item=item)
    database.server("web-1", seen=5)
    database.rules(180, "none", time_zone="Europe/Berlin")
    page = open_page()
    expect(page.get_by_role("heading", level=1)).to_have_text("The only server is well")
    assert problems(page).count() == 0
    assert page.locator("summary h2").all_inner_texts() == ["in no group", "spot"]
    expect(group(page, "spot").locator("summary")).to_contain_text("All are gone")
    row = page.locator("tbody tr", has_text="spot-1")
    expect(row.locator(".status")).to_contain_text("gone")
    expect(row).to_contain_text("was shut down")
    page.goto(f"{open_page.url}/servers/spot-1")
    expect(page).to_have_title("spot-1: gone – heartbeat")
    shut = page.get_by_role("list", name="Remarks").locator("time")
    assert shut.get_attribute("title").startswith(f"{left.astimezone(BERLIN):%Y-%m-%d %H:%M:%S CE}")
    assert problems(page).count() == 0


# C8.7 C8.16
def test_what_silences_all_servers_is_said_in_the_zone_of_the_stack(database, open_page):
    until = now() + timedelta(hours=30)
    database.server("web-1", seen=400, item={"quiet": {"S": "Sat 22:00-06:00"}})
    database.rules(
        180, "none", time_zone="Europe/Berlin", silenced_until=stored(until), quiet="22:00-06:00;Sun 00:00-24:00"
    )
    page = open_page(timezone_id="America/New_York", has_clock=True)
    local = until.astimezone(BERLIN)
    expect(page.locator("main")).to_contain_text(
        f"All servers: silenced until {local:%Y-%m-%d %H:%M %Z}; quiet each week: 22:00-06:00;Sun 00:00-24:00"
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("0 of 1 are well: 1 silenced")
    expect(page.locator("#at")).to_have_text(re.compile(rf"as of \d\d:\d\d:\d\d {local:%Z}"))
    row = page.locator("tbody tr", has_text="web-1")
    expect(row).to_contain_text("quiet each week: Sat 22:00-06:00")
    for time in page.locator("main time").all():
        zone = r"CES?T"
        assert re.search(zone, (time.get_attribute("title") or "") + time.text_content()), time.text_content()
    page.goto(f"{open_page.url}/servers/web-1")
    remarks = page.get_by_role("list", name="Remarks")
    expect(remarks).to_contain_text(re.compile(rf"silenced until \S* ?\d\d:\d\d {local:%Z}"))
    expect(remarks).to_contain_text("quiet each week: Sat 22:00-06:00")
    refreshed(page)
    expect(remarks.locator("time").first).to_have_attribute("title", re.compile(r"CES?T$"))
