#!/usr/bin/env python3
"""Computes docs/cost.md, and the figures of SECURITY.md, from one table of prices and quantities: `make cost`. With --check, compares
only."""

import functools
import math
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
PAGE, SECURITY = ROOT / "docs/cost.md", ROOT / "SECURITY.md"
START, END = "<!-- computed by crates/dev/cost.py -->\n", "<!-- end -->\n"

SCALES = (10, 1_000, 100_000)
HOURS = 720
MINUTES = 43_200

# US dollars, us-east-1 and arm64, list prices as known to this project on 2026-11-25, without the free tier.
PRICES = {
    "write request": 0.625e-6,
    "read request": 0.125e-6,
    "write capacity, hour": 0.00065,
    "read capacity, hour": 0.00013,
    "HTTP API, first 300 M": 1.00e-6,
    "HTTP API, above": 0.90e-6,
    "Lambda request": 0.20e-6,
    "Lambda GB-second": 13.3334e-6,
    "log, GB": 0.50,
    "table, GB and month": 0.25,
    "out, GB": 0.09,
    "schedule": 1.00e-6,
    "alarm metric": 0.10,
}

# What one heartbeat or one server needs.
WRITES = 2
GB_SECONDS = 0.020 * 0.125
LOG_GB = 0.4e-6
ROW_GB = 0.5e-6
ANSWER_GB = 0.5e-6
ITEM_BYTES = 700
# A sweep: of a whole processor, the seconds for each server (crates/bench/README.md), of which 512 MB have a share; and DynamoDB's
# response time for each page of its scan. A scan may take 70 % of the watchdog's 50 s. Days are written if half of them is left, and
# begun in 70 % of what is left.
SWEEP_CPU = 12e-6
DAY_CPU = 21e-3
SWEEP_GB = 0.5
# Days: what DynamoDB counts of one with every metric and three file systems, and its overhead for an item; how many days there are,
# and how many are read to see which are there, and how fast disks fill.
DAY_BYTES = 680
ITEM_OVERHEAD = 100
HISTORY_DAYS = 400
DAYS_READ = 60
WHOLE_PROCESSOR_GB = 1769 / 1024
PAGE_BYTES, PAGE_WAIT = 2**20, 0.04
LEAST_SWEEP = 0.05
SCAN_SECONDS = 35
SWEEP_SECONDS = 50
BEGIN_SHARE = 0.7
SLOTS = 1_440
# HTTP API's default quota, for an account and region.
API_RATE = 10_000
# The page: 1.4 ms of a whole processor, of which it has a fourteenth, and DynamoDB's response time. It has 1 KB for each server;
# the form that asks for the password has 7 KB.
PAGE_SECONDS = 0.04
PAGE_GB_PER_SERVER = 1e-6
# A scrape of `/metrics`: 0.07 ms of a whole processor for each server; and what is sent for each to whoever accepts gzip, and to others,
# which is the largest answer that there is.
SCRAPE_SECONDS, SCRAPE_SECONDS_PER_SERVER = 0.04, 1e-3
SCRAPE_GB_PER_SERVER, RAW_SCRAPE_GB_PER_SERVER = 0.32e-6, 2.1e-6
# The largest part of a fleet that is scraped at once.
SCRAPED_SERVERS = 10_000
FORM_SECONDS = 0.005
FORM_GB = 7e-6
PAGE_RATE = 5
UTILIZATION = 0.70
# ReadCapacityMin, for the servers and the metrics each: three times what sweeps need.
LEAST_READ_UNITS = 2
SERVERS_PER_READ_UNIT = 250
# Of each of the four scaling policies.
SCALING_ALARMS = 4 * 4
# Of each kind, for every account and for ever.
FREE_UNITS = 25
# Requests at their greatest. API Gateway accepts 10 MB, and bills each 512 KB as a request. Of a body of 1 MiB and its headers, the
# function parses a heartbeat. The times are estimates: a fourteenth of a processor copies 6 MB, or parses 1 MiB and waits for writes.
REQUEST_KB = 512
GREATEST_REQUESTS = 10_240 / REQUEST_KB
GREATEST_SECONDS = 0.15
ACCEPTED_REQUESTS = 3
ACCEPTED_SECONDS = 0.3
# The item of the greatest fields in KB, with what the watchdog and operators add, twice, because a sender that returns marks it; the
# row once.
ACCEPTED_WRITES = 5 + 5 + 1
LOOKUP_UNITS = 0.5
# Messages a day about one server, at most, as a test of crates/verdict/src/budget.rs counts them.
MESSAGES = 182
# Of a function, a line for each rejection.
LINE_GB = 0.2e-6


def api(requests):
    first = min(requests, 300e6)
    return first * PRICES["HTTP API, first 300 M"] + (requests - first) * PRICES["HTTP API, above"]


@functools.cache
def alarm_metrics():
    """The metrics of the template's alarms that exist without webhooks and the page."""
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    alarms = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    del alarms["NotifyAlarm"], alarms["SignInAlarm"]
    metrics = sum(
        len([part for part in alarm.get("Metrics", [{"MetricStat": 1}]) if "MetricStat" in part])
        for alarm in alarms.values()
    )
    return len(alarms), metrics


def scan_units(servers):
    """Read units of a scan of the servers table."""
    return max(servers * ITEM_BYTES / 4096 * 0.5, 0.5)


def day_units():
    """Read units of a server's day: its rows, and the days before it."""
    rows = MINUTES / 30 * ROW_GB * 1e9
    return (rows + DAYS_READ * DAY_BYTES) / 4096 * 0.5


def sweep_seconds(servers, gigabytes=SWEEP_GB, segments=1):
    """The time of a sweep in which nothing has changed, with so much memory, over so many segments of the table at once."""
    processor = SWEEP_CPU / (gigabytes / WHOLE_PROCESSOR_GB)
    wait = ITEM_BYTES / PAGE_BYTES * PAGE_WAIT / segments
    return LEAST_SWEEP + servers * (processor + wait)


def largest(fits):
    """The largest fleet, in ten thousands, for which this holds."""
    return max(servers for servers in range(0, 2_000_000, 10_000) if fits(servers))


def most_servers(gigabytes=SWEEP_GB):
    """The largest fleet whose scan fits into its time."""
    return largest(lambda servers: sweep_seconds(servers, gigabytes) <= SCAN_SECONDS)


def day_seconds():
    """The time of a server's day, which is that of the processor: four are read at once."""
    return DAY_CPU / (SWEEP_GB / WHOLE_PROCESSOR_GB)


def most_with_days():
    """The largest fleet whose days are all written: a day of each server in a slot, after a sweep."""

    def fits(servers):
        left = SWEEP_SECONDS - sweep_seconds(servers)
        return left >= SWEEP_SECONDS / 2 and servers / SLOTS * day_seconds() <= BEGIN_SHARE * left

    return largest(fits)


def provisioned_units(servers):
    """The write and read units that auto scaling keeps ready, for the servers and the metrics together."""
    writes = 2 * math.ceil(servers / 60 / UTILIZATION)
    return writes, 2 * max(LEAST_READ_UNITS, math.ceil(servers / SERVERS_PER_READ_UNIT))


def lines(servers, capacity="on-demand", access_log="all", monitoring="alarms", front="api"):
    """The monthly cost of each part, in dollars."""
    heartbeats = servers * MINUTES
    sweeps = MINUTES * (PRICES["Lambda request"] + PRICES["schedule"] + 2 * PRICES["write request"])
    sweeps += MINUTES * sweep_seconds(servers) * SWEEP_GB * PRICES["Lambda GB-second"]
    if capacity == "on-demand":
        writes = heartbeats * WRITES * PRICES["write request"]
        reads = scan_units(servers) * MINUTES * PRICES["read request"]
        day_reads, day_writes = servers * 30 * day_units() * PRICES["read request"], servers * 30 * PRICES["write request"]
        scaling = 0
    else:
        units = provisioned_units(servers)
        writes = units[0] * PRICES["write capacity, hour"] * HOURS
        reads = units[1] * PRICES["read capacity, hour"] * HOURS
        # In what is kept ready: less than a thirtieth of the writes, and the reads that sweeps leave.
        day_reads = day_writes = 0
        scaling = SCALING_ALARMS * PRICES["alarm metric"]
    alarms = 0 if monitoring == "none" else alarm_metrics()[1] * PRICES["alarm metric"]
    return {
        "DynamoDB writes": writes,
        "HTTP API": api(heartbeats) if front == "api" else 0,
        "Lambda requests": heartbeats * PRICES["Lambda request"],
        "Lambda time": heartbeats * GB_SECONDS * PRICES["Lambda GB-second"],
        "access log": heartbeats * LOG_GB * PRICES["log, GB"] if access_log == "all" and front == "api" else 0,
        "metrics, 30 days": heartbeats * ROW_GB * PRICES["table, GB and month"],
        "answers": heartbeats * ANSWER_GB * PRICES["out, GB"],
        "watchdog: reads": reads,
        "watchdog: the rest": sweeps,
        "days: reads": day_reads,
        "days: time": servers * 30 * day_seconds() * SWEEP_GB * PRICES["Lambda GB-second"],
        "days: writes": day_writes,
        "days: 400 of them": servers * HISTORY_DAYS * (DAY_BYTES + ITEM_OVERHEAD) * 1e-9 * PRICES["table, GB and month"],
        "alarms": alarms,
        "alarms of auto scaling": scaling,
    }


def flood(rate, has_key, is_greatest=True):
    """The cost of a month of requests at the ceiling that ThrottleRate sets: at their greatest, or as agents send them."""
    if not has_key:
        counted, seconds, writes = (GREATEST_REQUESTS, GREATEST_SECONDS, 0) if is_greatest else (1, 0.002, 0)
    elif is_greatest:
        counted, seconds, writes = ACCEPTED_REQUESTS, ACCEPTED_SECONDS, ACCEPTED_WRITES
    else:
        counted, seconds, writes = 1, GB_SECONDS / 0.125, WRITES
    requests = rate * 86_400 * 30
    each = PRICES["Lambda request"] + seconds * 0.125 * PRICES["Lambda GB-second"] + writes * PRICES["write request"]
    each += LOG_GB * PRICES["log, GB"] + ANSWER_GB * PRICES["out, GB"]
    if has_key:
        each += ROW_GB * PRICES["table, GB and month"]
    if is_greatest or not has_key:
        each += LINE_GB * PRICES["log, GB"]
    if is_greatest:
        each += LOOKUP_UNITS * PRICES["read request"]
    cost = api(requests * counted) + requests * each
    # Whoever has a key can leave it out.
    return max(cost, flood(rate, has_key=False)) if has_key and is_greatest else cost


def url_flood(rate, has_key):
    """The same for a function URL: it has no fee and no access log, and takes 6 MB; what is reserved bounds the requests and the
    time."""
    reserved = math.ceil(rate / 10)
    month = 86_400 * 30
    seconds = min(10 * reserved * (ACCEPTED_SECONDS if has_key else GREATEST_SECONDS), reserved)
    each = PRICES["Lambda request"] + ANSWER_GB * PRICES["out, GB"] + LINE_GB * PRICES["log, GB"]
    each += LOOKUP_UNITS * PRICES["read request"]
    if has_key:
        each += ACCEPTED_WRITES * PRICES["write request"] + ROW_GB * PRICES["table, GB and month"]
    return month * (10 * reserved * each + seconds * 0.125 * PRICES["Lambda GB-second"])


def fronts():
    """The whole bill with each front, without the access log, which a URL does not have."""
    rows = []
    for capacity in ("on-demand", "provisioned"):
        for front in ("api", "url"):
            totals = [money(sum(lines(scale, capacity, "none", front=front).values())) for scale in SCALES]
            rows.append([f"`Front={front}`, `Capacity={capacity}`", *totals])
    return table(["together, per month, with `AccessLog=none`", *(f"{scale:,}" for scale in SCALES)], rows)


def floods():
    """What the holder of a key, or of none, costs at most, and what agents cost that send as often."""
    rates = (1, 25, 200)
    text = f"| a flood for a month | {' | '.join(f'`ThrottleRate={rate}`' for rate in rates)} |\n| --- | ---: | ---: | ---: |\n"
    for is_greatest, what in ((True, "at their greatest"), (False, "as agents send them")):
        for has_key, who in ((False, "without a key"), (True, "with a key")):
            costs = [money(flood(rate, has_key, is_greatest)) for rate in rates]
            text += f"| requests {what}, {who} | {' | '.join(costs)} |\n"
    for has_key, who in ((False, "without a key"), (True, "with a key")):
        costs = [money(url_flood(rate, has_key)) for rate in rates]
        text += f"| `Front=url`: requests at their greatest, {who} | {' | '.join(costs)} |\n"
    return text


def holders():
    """What the holder of each kind of key can do at worst, by the template's own bounds."""
    rate = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]["ThrottleRate"]["Default"]
    day = rate * 86_400
    cost = f"${money(flood(rate, has_key=True))}"
    looks = page_flood(scrape_seconds(1_000), 1_000 * RAW_SCRAPE_GB_PER_SERVER)
    looks += PAGE_RATE * 86_400 * 30 * scan_units(1_000) * PRICES["read request"]
    rows = [
        ("nothing", "0", "0", "0", f"${money(flood(rate, has_key=False))}"),
        ("a bound key", "0", f"{day:,}, of its server", f"{MESSAGES}, about its server", cost),
        ("a key with a prefix", f"{day:,}", f"{day:,}, of its servers", "1,440, about its servers", cost),
        ("a shared key", f"{day:,}", f"{day:,}, of any server", "1,440, about any server", cost),
        ("the page's password", "0", "0", "0", f"${money(looks)}"),
    ]
    header = ("who holds", "invents servers, a day", "adds rows, a day", "causes messages, a day", "costs a month")
    text = f"| {' | '.join(header)} |\n| --- | ---: | ---: | ---: | ---: |\n"
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"""{text}
This is with `ThrottleRate={rate}`, to which rows, servers and costs are nearly proportional. There is a sweep a minute, and it sends one
message. It names a server [three times an hour, then once in a quarter of an hour](docs/contract.md#c9-problems), and whenever it
falls silent after its return was announced; a shared key names a new one each minute. The costs are [those of a
flood](docs/cost.md) of requests at their greatest, which need no key. The page's are for 1,000 servers: {PAGE_RATE} requests per
second for `/metrics`, uncompressed, each with a scan of its own.
"""


def page_flood(seconds, gigabytes):
    """The cost of a month of requests to the page at its ceiling."""
    return sum(page_requests(PAGE_RATE * 86_400 * 30, seconds, gigabytes))


def page_requests(requests, seconds, gigabytes):
    """The cost of requests to the page, without what DynamoDB reads: for them, and for what they send."""
    each = PRICES["Lambda request"] + seconds * 0.125 * PRICES["Lambda GB-second"]
    return api(requests) + requests * each, requests * gigabytes * PRICES["out, GB"]


def scrape_seconds(servers):
    return SCRAPE_SECONDS + servers * SCRAPE_SECONDS_PER_SERVER


def scrapes():
    """What it costs to scrape a fleet once a minute, or a part of a large one: `heartbeatctl web` pays only for the scan."""
    rows = {"the scan": [], "requests and time": [], "what is sent": []}
    for scale in SCALES:
        scraped = min(scale, SCRAPED_SERVERS)
        asked, sent = page_requests(MINUTES, scrape_seconds(scraped), scraped * SCRAPE_GB_PER_SERVER)
        parts = (scan_units(scale) * MINUTES * PRICES["read request"], asked, sent)
        for row, part in zip(rows.values(), parts, strict=True):
            row.append(part)
    rows["**together**"] = [sum(parts) for parts in zip(*rows.values(), strict=True)]
    header = ["a scrape a minute, per month", *(f"{scale:,}" for scale in SCALES[:-1]), f"{SCRAPED_SERVERS:,} of {SCALES[-1]:,}"]
    return table(header, [[name, *map(money, parts)] for name, parts in rows.items()])


def free_servers():
    """The largest fleet, in hundreds, whose capacity is covered by the free units."""
    return max(servers for servers in range(0, 10_000, 100) if max(provisioned_units(servers)) <= FREE_UNITS)


def million():
    """What a million servers would cost, and what would end it."""
    servers = 1_000_000
    parts = lines(servers)
    whole = sweep_seconds(servers, WHOLE_PROCESSOR_GB, segments=4)
    return f"""**A million servers** would cost ${sum(parts.values()):,.0f} per month, of which heartbeats' writes are ${parts["DynamoDB writes"]:,.0f} and the scans ${parts["watchdog: reads"]:,.0f}; with
`Capacity=provisioned` and `AccessLog=none`, ${sum(lines(servers, "provisioned", "none").values()):,.0f}. What ends it is the sweep: it would take {sweep_seconds(servers):.0f} s, and its scan has {SCAN_SECONDS}. That is
enough for {most_servers():,} servers with items of {ITEM_BYTES} bytes, at {PAGE_WAIT * 1e3:.0f} ms a page; with 1,769 MB, which are a whole processor, for
{most_servers(WHOLE_PROCESSOR_GB):,}. A million would need that and a scan of four segments at once: {whole:.0f} s. Days (`HistoryDays`) end earlier:
from {most_with_days():,} servers on, they need more than the time that a sweep of 512 MB leaves them. From {API_RATE * 60:,} servers on,
HTTP API's default quota of {API_RATE:,} requests per second has to be raised. This is computed, and untried on AWS.
"""


def money(value):
    return f"{value:,.2f}" if value < 1_000 else f"{value:,.0f}"


def table(header, rows):
    left = ["---"] * (len(header) - len(SCALES))
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, left + ["---:"] * len(SCALES), *rows))


def page():
    """The tables, and the sentences that depend on them."""
    scales = [f"{scale:,}" for scale in SCALES]
    default = [lines(scale) for scale in SCALES]
    alarms, metrics = alarm_metrics()
    how = {
        "DynamoDB writes": "2 units per heartbeat, 0.625 / M",
        "HTTP API": "1 request, 1.00 / M, above 300 M 0.90",
        "Lambda requests": "1, 0.20 / M",
        "Lambda time": "20 ms × 0.125 GB, 13.3334 / M GB-s",
        "access log": "0.4 KB, 0.50 / GB",
        "metrics, 30 days": "0.5 KB, 0.25 / GB",
        "answers": "0.5 KB out, 0.09 / GB",
        "watchdog: reads": f"a scan per minute, {ITEM_BYTES} bytes per server, 0.125 / M",
        "watchdog: the rest": "43,200 sweeps: 0.20 / M, × 0.5 GB, schedule 1.00 / M, two writes",
        "days: reads": f"{day_units():.0f} units per server and day, 0.125 / M",
        "days: time": f"{day_seconds() * 1e3:.0f} ms × {SWEEP_GB} GB per server and day",
        "days: writes": "1 unit per server and day, 0.625 / M",
        "days: 400 of them": f"{DAY_BYTES} + {ITEM_OVERHEAD} bytes, 0.25 / GB",
        "alarms": f"{alarms} alarms on {metrics} metrics × 0.10",
    }
    rows = [[name, what, *(money(each[name]) for each in default)] for name, what in how.items()]
    rows.append(["**together**", "", *(f"**{money(sum(each.values()))}**" for each in default)])
    text = table(["per month, in dollars", "how much of it", *scales], rows) + "\n"

    rows = []
    for capacity in ("on-demand", "provisioned"):
        for access_log in ("all", "none"):
            totals = [money(sum(lines(scale, capacity, access_log).values())) for scale in SCALES]
            rows.append([f"`Capacity={capacity}`, `AccessLog={access_log}`", *totals])
    text += table(["together, per month", *scales], rows) + "\n"

    text += "| servers | the largest line | the setting that cuts it most |\n| ---: | --- | --- |\n"
    for scale, parts in zip(SCALES, default):
        name = max(parts, key=parts.get)
        cut = {
            "Monitoring=none": lines(scale, monitoring="none"),
            "AccessLog=none": lines(scale, access_log="none"),
            "Capacity=provisioned": lines(scale, capacity="provisioned"),
        }
        setting = min(cut, key=lambda each: cut[each][name])
        text += f"| {scale:,} | {name}, {money(parts[name])} | `{setting}`: {money(cut[setting][name])} |\n"
    ten = sum(default[0].values())
    asked, sent = page_requests(MINUTES, PAGE_SECONDS, 1_000 * PAGE_GB_PER_SERVER)
    scans = scan_units(1_000) * MINUTES * PRICES["read request"]
    flooded = page_flood(FORM_SECONDS, FORM_GB)
    text += f"""
Ten servers cost about ${ten:.2f} per month, of which the alarms are ${metrics / 10:.2f}; CloudWatch's free tier covers ten alarm
metrics, which is $1.00 of that. Auto scaling creates {SCALING_ALARMS} alarms of its own, which are ${SCALING_ALARMS / 10:.2f}.

**A flood** is limited by `ThrottleRate`. At 200 requests per second for a whole month, it costs at most ${flood(200, False):,.0f}:

{floods()}
At its greatest, a request has the 10 MB that API Gateway accepts, which it bills as {GREATEST_REQUESTS:.0f} requests. One that is accepted has
1 MiB, which are {ACCEPTED_REQUESTS}, the longest fields, and a sender that returns, and writes {ACCEPTED_WRITES} units; so a key makes the worst no worse. What API
Gateway rejects beyond `ThrottleRate` is a line of the access log as well: ${1e6 * LOG_GB * PRICES["log, GB"]:.2f} per million, without a ceiling, and nothing
with `AccessLog=none`. One per second for each 40 servers [is enough](deploy.md#parameters): `ThrottleRate=1` for ten servers, 25 for
a thousand. This is computed, and untried on AWS.

**`Front=url`** makes agents send to a function URL, which has no fee per request:

{fronts()}
It saves {api(1e6) * MINUTES / 1e4:.1f} cents a month for each server, and {LOG_GB * PRICES["log, GB"] * MINUTES * 100:.1f} for its access log: nothing that ten servers notice, ${api(1_000 * MINUTES):.0f} and ${LOG_GB * PRICES["log, GB"] * MINUTES * 1_000:.0f} for 1,000. A scanner's
`GET` reaches the function, and costs ${1e6 * (PRICES["Lambda request"] + 0.002 * 0.125 * PRICES["Lambda GB-second"]):.2f} per million. With `Front=both`, each request costs what its front does.

**The page**, deployed, and in sight for a whole month: ${asked:.2f} for requests. With 1,000 servers, ${scans:.2f} for scans, and
${sent:.2f} for what it sends, unless it is within the 100 GB that each account may send for nothing. A flood without the password
reads nothing: at {PAGE_RATE} requests per second for a whole month, it costs about ${flooded:.0f}. AWS promises this throttle at best
effort only.

**A scrape** of `/metrics` is a scan of the servers table, also that of a group: what is not in it is read all the same. So is a page of
`/api/servers?group=`, as far as it gets; one with `limit` alone reads its own servers.

{scrapes()}
`heartbeatctl web` costs the scan alone. Ten groups of 10,000 are ten scans a minute, ${scan_units(100_000) * MINUTES * PRICES["read request"] * 10:,.0f}: every five minutes, it is a fifth. What is
sent is compressed, {SCRAPE_GB_PER_SERVER * 1e6:.2f} KB for each server; to a client that does not accept that, it is {RAW_SCRAPE_GB_PER_SERVER * 1e6:.1f} KB.

**`Capacity=provisioned`** bills the units that auto scaling keeps ready, not the writes. Up to about {free_servers()} servers, the
{FREE_UNITS} units that every account has free for ever may cover all of it.

{million()}"""
    return text


def main():
    for file, text in ((PAGE, page()), (SECURITY, holders())):
        before, rest = file.read_text().split(START)
        _, after = rest.split(END)
        computed = before + START + text + END + after
        if "--check" not in sys.argv:
            file.write_text(computed)
        elif computed != file.read_text():
            sys.exit(f"{file} is not what the prices give: make cost")


if __name__ == "__main__":
    main()
