#!/usr/bin/env python3
"""Checks licences, sources and advisories of the dependencies: `make deny`. Says `skipped: …` if something is missing."""

import shutil
import subprocess
import sys

if not shutil.which("cargo-deny"):
    print("skipped: needs cargo-deny (cargo install --locked cargo-deny)")
    sys.exit()
checks = ["check"]
if subprocess.run(["cargo", "deny", "fetch", "db"]).returncode:
    print("skipped: the advisories, because their database is unreachable")
    checks = ["check", "bans", "licenses", "sources"]
sys.exit(subprocess.run(["cargo", "deny", "--workspace", "--locked", *checks]).returncode)
