"""A year of a server, by days, in a browser."""

import csv
import io
import re
from datetime import datetime, timedelta, timezone

from conftest import METRICS, now, stored
from playwright.sync_api import expect
from test_page import MINUTE, chart

YEAR = 365
# Days ago.
MISSING = range(100, 120)


def extent(*values):
    return {"L": [{"N": str(value)} for value in values]}


def day(server_id, ago):
    """A day that the watchdog has written."""
    date = now().date() - timedelta(days=ago)
    end = datetime(date.year, date.month, date.day, tzinfo=timezone.utc) + timedelta(days=401)
    return {
        "server_id": {"S": f"#day:{server_id}"},
        "recorded_at": {"S": str(date)},
        "expires_at": {"N": str(int(end.timestamp()))},
        "rows": {"N": "1440"},
        "cpu_percent": extent(5, 10, 90 if ago == 30 else 20),
        "memory_percent": extent(40, 50, 60),
        "disk_percent": extent(30, 30, 30),
        "load_1m": extent(0.1, 0.5, 3),
        "network_rx_bytes": {"N": str(86_400 * 1_000)},
        "disks": {"M": {"/": extent(30, 30, 30), "/data": extent(70, 71, 72)}},
    }


def year(database, server_id):
    """A server with a day for each but the last two and some in autumn, and with rows of today and yesterday."""
    disks = {"disks": {"M": {"/": {"N": "30"}, "/data": {"N": "71"}}}}
    registered = {"registered_at": {"S": stored(now() - timedelta(days=400))}}
    database.server(server_id, seen=5, item=registered, reading=disks, cpu_percent=10, disk_percent=30)
    days = [day(server_id, ago) for ago in range(2, YEAR + 1) if ago not in MISSING]
    database.write(METRICS, [{"PutRequest": {"Item": item}} for item in days])
    times = [now() - 10 * MINUTE * ago for ago in range(144, 0, -1)]
    database.rows(server_id, times, cpu_percent=lambda number: 10 + number % 3)


# C15.5
def test_a_year_is_shown_by_days_with_the_least_and_the_greatest_of_each(database, open_page):
    year(database, "web-1")
    database.rules(180, "disk_percent=90")
    page = open_page("/servers/web-1")
    page.locator("nav a", has_text="1y").click()
    expect(page.locator("#shown")).to_contain_text("1 day per point")
    cpu = chart(page, "cpu_percent")
    output = page.locator("figure", has=cpu).locator("output")
    expect(output).to_have_text("5 % to 90 %")
    # Before and after what is missing.
    assert cpu.locator("polyline.mean").count() == 2
    points = [len(line.get_attribute("points").split()) for line in cpu.locator("polyline.mean").all()]
    assert sum(points) in (YEAR + 1 - len(MISSING), YEAR - len(MISSING)), points
    assert cpu.locator(".absent").count() == 1
    width = float(cpu.locator(".absent").get_attribute("width")) / (cpu.bounding_box()["width"] - 54)
    assert abs(width * YEAR - len(MISSING)) < 1.5
    # The band reaches from the least to the greatest: from 5 % to 90 % of the height.
    bands = cpu.locator("polygon.band").all()
    heights = [float(point.split(",")[1]) for band in bands for point in band.get_attribute("points").split()]
    assert (max(heights), min(heights)) == (130 - 1.22 * 5, round(130 - 1.22 * 90, 1))
    # Of a counter, the mean of the day.
    expect(page.locator("figure", has=chart(page, "network_rx_bytes")).locator("output")).to_have_text("1 kB/s")
    disk = page.locator("figure", has=chart(page, "disk_percent"))
    assert disk.locator(".legend span").all_inner_texts() == ["disk", "/data", "/"]
    assert disk.locator("polyline.line-1").count() == 2
    noon = now().replace(hour=12, minute=0) - timedelta(days=30)
    share = 1 - (now() - noon) / timedelta(days=YEAR)
    cpu.hover(position={"x": 46 + (cpu.bounding_box()["width"] - 54) * share, "y": 50})
    expect(output).to_contain_text(re.compile(r": 10 % \(5 % to 90 %\)"))
    # The address has it.
    page.reload()
    expect(page.locator("nav a[aria-current]")).to_have_text("1y")
    expect(output).to_have_text("5 % to 90 %")


# C15.5
def test_a_year_as_csv_has_a_line_for_each_day(database, ctl):
    year(database, "web-1")
    database.rules(180, "disk_percent=90")
    lines = list(csv.DictReader(io.StringIO(ctl("history", "web-1", "--since", "1y", "--csv"))))
    assert len(lines) in (YEAR + 1 - len(MISSING), YEAR - len(MISSING))
    (peak,) = [line for line in lines if line["time"].startswith(str(now().date() - timedelta(days=30)))]
    assert [float(peak[f"cpu_percent_{kind}"]) for kind in ("min", "mean", "max")] == [5, 10, 90]
