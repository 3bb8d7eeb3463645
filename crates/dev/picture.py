#!/usr/bin/env python3
"""Draws the fleet view into docs/fleet.svg: `make picture`, while `make run` is up.

Sends an hour of heartbeats for three servers to the function, lets one fall silent, and draws the fleet view as a
terminal shows it.
"""

import fcntl
import json
import math
import os
import pty
import re
import struct
import subprocess
import termios
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.text import Text

URL = os.environ["HEARTBEAT_URL"]
API_KEY = os.environ["HEARTBEAT_API_KEY"]
COLUMNS = 110
SILENCE = 15  # seconds until a server counts as offline
SERVERS = {
    "web-1": {"os": ("Debian GNU/Linux", "12 (bookworm)"), "cpu": 42, "memory": 61.4, "disk": 38.0, "days": 41},
    "media": {"os": ("Debian GNU/Linux", "12 (bookworm)"), "cpu": 18, "memory": 77.9, "disk": 93.2, "days": 12},
    "backup": {"os": ("Alpine Linux", "3.22"), "cpu": 55, "memory": 23.0, "disk": 71.5, "days": 3},
}
SILENT = "backup"


def send(name, minutes_ago):
    """Sends the heartbeat that the server would have sent `minutes_ago` minutes ago."""
    server = SERVERS[name]
    wave = math.sin(minutes_ago / 6 + len(name)) * server["cpu"] * 0.6
    heartbeat = {
        "server_id": name,
        "hostname": f"{name}.example",
        "timestamp": time.time() - minutes_ago * 60,
        "os_info": dict(zip(("distribution", "version"), server["os"])),
        "metrics": {
            "cpu_percent": server["cpu"] + wave,
            "memory_percent": server["memory"],
            "disk_percent": server["disk"],
            "load_1m": (server["cpu"] + wave) / 25,
            "uptime_seconds": server["days"] * 86400,
        },
    }
    request = urllib.request.Request(URL, json.dumps(heartbeat).encode(), {"X-API-Key": API_KEY})
    urllib.request.urlopen(request)


def capture(command):
    """Runs a command on its own terminal, and returns what it prints."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(command, stdout=secondary, close_fds=True):
        os.close(secondary)
        printed = b""
        try:
            while chunk := os.read(primary, 4096):
                printed += chunk
        except OSError:  # Linux raises this once the other end is closed.
            pass
    return printed.decode().replace("\r\n", "\n")


for name in SERVERS:
    for minutes_ago in range(59, -1, -1):
        send(name, minutes_ago)
time.sleep(SILENCE + 1)
for name in SERVERS.keys() - {SILENT}:
    send(name, 0)

fleet = ["cargo", "run", "--quiet", "--package", "heartbeatctl", "--", "fleet", "--offline-after", f"{SILENCE}s"]
console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))
console.print(Text.from_ansi(capture(fleet)))
svg = console.export_svg(title="make fleet", unique_id="fleet")
# A picture in a README must not load remote fonts.
svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
Path(__file__).parents[2].joinpath("docs/fleet.svg").write_text(svg)
