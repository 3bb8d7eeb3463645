#!/usr/bin/env python3
"""Draws the pictures of the README from the demo fleet: `make picture`.

Fills a DynamoDB of its own, draws the fleet view as a terminal shows it, and photographs the page in a browser.
"""

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
DEBUG = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
CTL = DEBUG / "heartbeatctl"
COLUMNS = 110
# Of which there is a week.
SERVER = "db-2"


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


def draw_terminal():
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))
    console.print(Text.from_ansi(capture([CTL, "fleet"])))
    svg = console.export_svg(title="heartbeatctl fleet", unique_id="fleet")
    # A picture in a README must not load remote fonts.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (ROOT / "docs/fleet.svg").write_text(svg)


def photograph():
    web = subprocess.Popen([CTL, "web", "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    url = web.stderr.readline().split()[0]
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1200, "height": 780}, locale="en-GB")
        page.goto(url)
        page.screenshot(path=ROOT / "docs/fleet.png")
        page.goto(f"{url}/servers/{SERVER}#7d")
        page.wait_for_selector("#charts polyline")
        page.screenshot(path=ROOT / "docs/server.png")
        browser.close()
    web.terminate()


with tempfile.TemporaryDirectory() as folder:
    command = [DEBUG / "dev", "dynamodb", "--port", "0", "--file", f"{folder}/data"]
    dynamodb = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = re.search(r"http://[\d.]+:\d+", dynamodb.stdout.readline())[0]
        subprocess.run([DEBUG / "demo"], check=True)
        subprocess.run([DEBUG / "demo", "--days", "7", "--only", SERVER], check=True)
        draw_terminal()
        photograph()
    finally:
        dynamodb.kill()
