#!/usr/bin/env python3
"""Runs a command against AWS's DynamoDB Local.

    tests/dynamodb_local.py cargo test --test api

Downloads the database once, checks its hash and keeps it under target/. Starts it in memory on a free port, sets
AWS_ENDPOINT_URL_DYNAMODB for the command, and stops the database afterwards. Needs Java 17 and npm.
"""

import base64
import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request

from local import free_port

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="
TARGET = pathlib.Path(__file__).parent.parent / "target"
HOME = TARGET / "dynamodb-local"


def fetch():
    """Downloads and unpacks the database, unless that has been done already."""
    if HOME.exists():
        return
    TARGET.mkdir(exist_ok=True)
    packed = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=TARGET, check=True, stdout=subprocess.PIPE, text=True
    )
    archive = TARGET / packed.stdout.strip()
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != SHA512:
        sys.exit(f"{PACKAGE}: the hash is {digest} instead of {SHA512}")
    unpacked = TARGET / "dynamodb-local.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(archive) as files:
        files.extractall(unpacked, filter="data")
    (unpacked / "package" / "emulator").rename(HOME)
    shutil.rmtree(unpacked)
    archive.unlink()


@contextlib.contextmanager
def running():
    """Starts the database; yields its URL."""
    port = free_port()
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    command += ["-inMemory", "-disableTelemetry", "-port", str(port)]
    log = TARGET / "dynamodb-local.log"
    with log.open("w") as output:
        database = subprocess.Popen(command, cwd=HOME, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, database, log)
        yield url
    finally:
        database.terminate()
        database.wait()


def wait_for(url, database, log):
    for _ in range(300):
        if database.poll() is not None:
            sys.exit(f"DynamoDB Local did not start:\n{log.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return  # An error is an answer, too: this request has no credentials.
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"DynamoDB Local did not answer within 30 s:\n{log.read_text()}")


def main():
    for program in ("java", "npm"):
        if not shutil.which(program):
            sys.exit(f"DynamoDB Local needs {program}, which is not on the PATH.")
    fetch()
    with running() as url:
        print(f"Running on DynamoDB Local at {url}:", flush=True)
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | {"AWS_ENDPOINT_URL_DYNAMODB": url}).returncode)


if __name__ == "__main__":
    main()
