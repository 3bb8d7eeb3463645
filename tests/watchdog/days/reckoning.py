#!/usr/bin/env python3
"""Days of a server, reckoned without the watchdog: rows as JSON on standard input, oldest first; days as JSON on standard output."""

import json
import statistics
import sys

COUNTERS = {"network_rx_bytes", "network_tx_bytes"}


def extent(values):
    return [min(values), statistics.fmean(values), max(values)]


def total(readings):
    """How much a counter grew, given when each value was received: later values only, and after a fall, all of the value."""
    grown, (last_received, last) = 0, readings[0]
    for received, value in readings[1:]:
        if received >= last_received:
            grown += value - last if value >= last else value
            last_received, last = received, value
    return grown


days = {}
for row in json.load(sys.stdin):
    days.setdefault(row["timestamp"][:10], []).append(row)
result = {}
for date, rows in days.items():
    day = result[date] = {"rows": len(rows)}
    for name in sorted({name for row in rows for name in row["metrics"]}):
        having = [row for row in rows if name in row["metrics"]]
        if name in COUNTERS:
            day[name] = total([(row["received_at"], row["metrics"][name]) for row in having])
        else:
            day[name] = extent([row["metrics"][name] for row in having])
    mounts = sorted({mount for row in rows for mount in row["disks"]})
    if mounts:
        day["disks"] = {mount: extent([row["disks"][mount] for row in rows if mount in row["disks"]]) for mount in mounts}
json.dump(result, sys.stdout)
