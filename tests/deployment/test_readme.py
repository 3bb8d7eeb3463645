"""The README's commands, typed as written."""

import hashlib
import json
import os
import re
import subprocess
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from function import running
from stack import ROOT, of_type, read

COMMANDS = re.findall(r"```sh\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def run(command, **environment):
    """What a command prints."""
    path = f"{ROOT}/target/tools/bin:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euc", command], cwd=ROOT, env=os.environ | environment | {"PATH": path}, check=True, capture_output=True, text=True
    )
    return result.stdout


def seconds_ago(seconds):
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


@pytest.fixture(scope="module")
def query(settings, dynamodb, deployed):
    """Runs the README's command of this name on a table in which one server has fallen silent and one has not."""
    with running(settings, dynamodb) as function:
        for age, load in ((7200, 1), (60, 2)):
            body = {"server_id": "web-1", "hostname": "web-1", "timestamp": seconds_ago(age), "metrics": {"load_1m": load}}
            assert function.post(body)[0] == 200
    silent = {"server_id": {"S": "silent"}, "last_seen": {"S": seconds_ago(240)}}
    boto3.client("dynamodb", endpoint_url=dynamodb).put_item(TableName=deployed["ServersTable"], Item=silent)

    def run_query(name):
        (command,) = (command for command in COMMANDS if command.startswith(f"aws dynamodb {name} "))
        tables = {"SERVERS_TABLE": deployed["ServersTable"], "METRICS_TABLE": deployed["MetricsTable"]}
        return json.loads(run(command, AWS_ENDPOINT_URL_DYNAMODB=dynamodb, **tables))

    return run_query


def test_a_server_is_read(query):
    assert query("get-item")["Item"]["status"] == {"S": "online"}


def test_the_last_hour_of_metrics_is_read(query):
    assert [row["load_1m"] for row in query("query")["Items"]] == [{"N": "2"}]


def test_silent_servers_are_found(query):
    assert [server["server_id"] for server in query("scan")["Items"]] == [{"S": "silent"}]


def test_make_key_prints_another_key_each_time_with_its_digest():
    first, second = (re.findall(r"\S+$", run("make --silent --no-print-directory key"), re.MULTILINE) for _ in range(2))
    assert set(first).isdisjoint(second)
    key, digest, key_of_table, its_digest = first
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    # C2.8
    assert re.fullmatch(r"hb_[A-Za-z0-9_-]{43}", key_of_table)
    assert [hashlib.sha256(each.encode()).hexdigest() for each in (key, key_of_table)] == [digest, its_digest]


def test_every_parameter_and_every_alarm_is_explained():
    readme = (ROOT / "README.md").read_text()
    names = [*read()["Parameters"], *of_type(read(), "AWS::CloudWatch::Alarm")]
    assert [name for name in names if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_parsed(command):
    subprocess.run(["bash", "-n"], input=command, check=True, text=True)
