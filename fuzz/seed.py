#!/usr/bin/env python3
"""Writes the seed corpus of the `parse` target: every body in events/ and in the list of contract cases."""

import base64
import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
CORPUS = HERE / "corpus" / "parse"


def bodies():
    for event in sorted((ROOT / "events").glob("*.json")):
        event = json.loads(event.read_text())
        body = event.get("body") or ""
        yield base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    for line in (ROOT / "tests" / "contract-cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        packed = case.get("body_base64")
        yield base64.b64decode(packed) if packed else case["body"].encode("utf-8", "surrogatepass")


CORPUS.mkdir(parents=True, exist_ok=True)
for body in bodies():
    (CORPUS / hashlib.sha1(body).hexdigest()).write_bytes(body)
print(f"{len(list(CORPUS.iterdir()))} bodies in {CORPUS.relative_to(ROOT)}")
