"""What `sam build` made, run as Lambda runs it."""

import re
from datetime import datetime, timezone

import boto3
import pytest
from function import BOOTSTRAP, Handler, running, serving
from stack import of_type, read, transform

# What Lambda's level filter knows, from the least severe to the most.
LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

# The GNU C library of Amazon Linux 2023.
GLIBC = (2, 34)


def heartbeat(server_id, **fields):
    now = datetime.now(timezone.utc).isoformat()
    return {"server_id": server_id, "hostname": f"{server_id}.example.com", "timestamp": now, **fields}


def kept(log, level):
    """The lines that Lambda's filter lets through: one without a timestamp or a known level counts as INFO."""

    def level_of(line):
        told = TIMESTAMP.fullmatch(line.get("timestamp", "")) and line.get("level") in LEVELS
        return LEVELS.index(line["level"] if told else "INFO")

    return [line for line in log if level_of(line) >= LEVELS.index(level)]


def test_it_runs_on_amazon_linux():
    needed = re.findall(rb"GLIBC_(\d+)\.(\d+)", BOOTSTRAP.read_bytes())
    assert max((int(major), int(minor)) for major, minor in needed) <= GLIBC


def test_the_deployed_function_records_a_heartbeat_in_the_deployed_tables(settings, dynamodb, deployed):
    with running(settings, dynamodb) as function:
        first = function.post(heartbeat("stored", metrics={"cpu_percent": 12.5}))
        second = function.post(heartbeat("stored"))
    assert first == (200, {"status": "ok", "server_registered": True, "pending_commands": []})
    assert second == (200, {"status": "ok", "server_registered": False, "pending_commands": []})
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    key = {"server_id": {"S": "stored"}}
    server = client.get_item(TableName=deployed["ServersTable"], Key=key)["Item"]
    (row,) = client.query(
        TableName=deployed["MetricsTable"],
        KeyConditionExpression="server_id = :server",
        ExpressionAttributeValues={":server": key["server_id"]},
    )["Items"]
    assert server["hostname"] == {"S": "stored.example.com"}
    assert row["cpu_percent"] == {"N": "12.5"}


def test_it_asks_of_dynamodb_what_its_policy_allows_and_nothing_else(settings, deployed):
    asked = set()

    class DynamoDb(Handler):
        def do_GET(self):
            asked.add((self.headers.get("Authorization"), self.path))
            self.answer(200, {})

        def do_POST(self):
            action = self.headers["X-Amz-Target"].partition(".")[2]
            asked.add((f"dynamodb:{action}", self.body()["TableName"]))
            self.answer(200, {})

    with serving(DynamoDb) as address, running(settings, f"http://{address}") as function:
        status, _ = function.post(heartbeat("allowed", metrics={}))
    assert status == 200
    # The warm-up: a request without credentials, which needs no permission.
    asked.remove((None, "/"))
    (role,) = of_type(transform(read()), "AWS::IAM::Role").values()
    allowed = {
        (statement["Action"], deployed[statement["Resource"]["Fn::GetAtt"][0]])
        for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        if "dynamodb:" in statement["Action"]
    }
    # A key from the environment is not looked up.
    assert asked == allowed - {("dynamodb:GetItem", deployed["KeysTable"])}


def test_lambda_understands_every_line_of_its_log(settings, dynamodb):
    with running(settings, dynamodb, level="DEBUG") as function:
        function.post(heartbeat("logged"))
        function.post(heartbeat("logged"), key="wrong")
    assert {line["message"] for line in function.log} == {"started", "heartbeat received", "server registered", "refused"}
    for line in function.log:
        assert TIMESTAMP.fullmatch(line["timestamp"]), line
        assert line["level"] in LEVELS, line
    assert [line["level"] for line in function.log if line["message"] == "refused"] == ["WARN"]


def test_a_filter_at_warn_loses_no_refusal_and_no_error(settings, dynamodb):
    with running(settings | {"METRICS_TABLE": "missing"}, dynamodb, level="WARN") as function:
        refused, _ = function.post({})
        failed, _ = function.post(heartbeat("filtered", metrics={}))
    assert (refused, failed) == (422, 500)
    lines = [(line["level"], line["message"], line["status"]) for line in kept(function.log, "WARN")]
    assert lines == [("WARN", "refused", 422), ("ERROR", "storage fault", 500)]
    assert kept(function.log, "WARN") == function.log
    assert all(line["request_id"] for line in function.log)


@pytest.mark.parametrize("name", ["ColdStartMetric", "RegistrationMetric"])
def test_a_metric_counts_a_line_that_the_function_writes(settings, dynamodb, name):
    pattern = of_type(read(), "AWS::Logs::MetricFilter")[name]["FilterPattern"]
    message = re.fullmatch(r'{ \$\.message = "(.+)" }', pattern).group(1)
    with running(settings, dynamodb) as function:
        function.post(heartbeat(name.lower()))
    assert [line["message"] for line in function.log].count(message) == 1


def test_a_bad_digest_stops_it_at_once_and_is_named(settings, dynamodb):
    with running(settings | {"API_KEY_SHA256": "a" * 64 + ",b"}, dynamodb) as function:
        status = function.exit_status()
    assert status != 0
    (line,) = function.log
    assert (line["level"], line["message"]) == ("ERROR", "refused to start")
    assert "API_KEY_SHA256: entry 2" in line["reason"]
