#!/usr/bin/env python3
"""Shows everything on this machine alone, without AWS: `make try`.

A demo fleet with a day of history, which goes on living: a server goes offline, another's disk fills up, a third flaps,
and a service fails. The functions run as in `make run`, the page shows the fleet, and what the watchdog announces is
printed. Everything is quicker than in earnest: heartbeats and sweeps every ten seconds, and a server is offline after a
minute. Ctrl-C stops it, and nothing is kept. WEB_PORT sets another port for the page.
"""

import os
import subprocess
import sys
import tempfile
import textwrap
import time

import run

WEB_PORT = int(os.environ.get("WEB_PORT", "8787"))
EVERY = 10  # seconds
SETTINGS = {"OFFLINE_AFTER_SECONDS": "60", "BACK_AFTER_SECONDS": "60", "PAGE_URL": f"http://127.0.0.1:{WEB_PORT}/"}
READY = f"""
Look at the fleet:

  http://127.0.0.1:{WEB_PORT}
  make fleet

Within three minutes: build-1 goes offline, mail's service postfix fails, media's disk fills up, and edge-oslo flaps.
What is announced appears here{{phone}}. Ctrl-C stops it.
"""


def show(subject, message):
    """Prints an announcement as a mail would say it."""
    text = textwrap.indent(message["email"].strip(), "  ")
    print(f"\n{time.strftime('%H:%M:%S')}  {subject}\n{text}", flush=True)


def main():
    run.check_port(WEB_PORT, "WEB_PORT")
    run.prepare("demo", "heartbeatctl")
    # The log of the functions would hide the announcements.
    run.SETTINGS |= SETTINGS | {"AWS_LAMBDA_LOG_LEVEL": "ERROR", "RUST_LOG": "error"}
    demo = [run.DEBUG / "demo", "--live", run.URL, "--every", str(EVERY)]
    web = [run.DEBUG / "heartbeatctl", "web", "--listen", f"127.0.0.1:{WEB_PORT}"]
    with tempfile.TemporaryDirectory() as folder, run.topic(show), run.database(f"{folder}/data.sqlite"):
        with run.running(*demo, stdout=subprocess.PIPE) as fleet, run.running(*web):
            if not fleet.stdout.readline():
                sys.exit("The demo fleet has stopped.")
            phone = " and on your phone" if os.environ.get("WEBHOOK_URLS") else ""
            print(READY.format(phone=phone), flush=True)
            with run.functions() as programs:
                run.sweep_until_one_stops(programs, EVERY)


if __name__ == "__main__":
    run.run_until_interrupted(main)
