#!/usr/bin/env python3
"""Writes the table of parameters in docs/deploy.md from template.yaml: `make parameters`. With --check, compares only."""

import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/deploy.md"
START, END = "<!-- written by crates/dev/parameters.py -->\n", "<!-- end -->\n"


def table():
    parameters = yaml_parse((ROOT / "template.yaml").read_text())["Parameters"]
    rows = [("parameter", "default", "meaning"), ("---", "---", "---")]
    for name, parameter in parameters.items():
        default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"
        rows.append((f"`{name}`", default, parameter["Description"].replace("<", "&lt;")))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main():
    before, rest = PAGE.read_text().split(START)
    _, after = rest.split(END)
    written = before + START + table() + END + after
    if "--check" in sys.argv:
        sys.exit(0 if written == PAGE.read_text() else f"{PAGE} is not what template.yaml says: make parameters")
    PAGE.write_text(written)


if __name__ == "__main__":
    main()
