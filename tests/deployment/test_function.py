"""The functions, run as Lambda runs them."""

import json
import re
import time
from datetime import datetime, timezone

import boto3
import pytest
from conftest import PARAMETERS, environment
from function import BUILD, HEARTBEAT, NOTIFY, WATCHDOG, Handler, running, serving
from local import dev
from stack import of_type, read, transform

# The levels that Lambda's log filter knows, from the least severe to the most severe.
LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

# The GNU C library of Amazon Linux 2023.
GLIBC = (2, 34)


def heartbeat(server_id, **fields):
    now = datetime.now(timezone.utc).isoformat()
    return {"server_id": server_id, "hostname": f"{server_id}.example.com", "timestamp": now, **fields}


def kept(log, level):
    """The lines that Lambda's filter keeps at a level. One without a timestamp or a known level counts as INFO."""

    def level_of(line):
        is_complete = TIMESTAMP.fullmatch(line.get("timestamp", "")) and line.get("level") in LEVELS
        return LEVELS.index(line["level"] if is_complete else "INFO")

    return [line for line in log if level_of(line) >= LEVELS.index(level)]


@pytest.mark.skipif(not BUILD, reason="only SAM builds for Amazon Linux")
@pytest.mark.parametrize("program", [HEARTBEAT, WATCHDOG, NOTIFY], ids=lambda program: program.parent.name)
def test_it_runs_on_amazon_linux(program):
    needed = re.findall(rb"GLIBC_(\d+)\.(\d+)", program.read_bytes())
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
    expiry = of_type(read(), "AWS::DynamoDB::Table")["MetricsTable"]["TimeToLiveSpecification"]
    assert int(row[expiry["AttributeName"]]["N"]) > time.time()


def allowed(role, deployed, *services):
    """The actions of these services that a role allows, each with its resource."""
    statements = transform(read())["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    return {
        (action, deployed[(statement["Resource"].get("Fn::GetAtt") or [statement["Resource"].get("Ref")])[0]])
        for statement in statements
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
        if action.split(":")[0] in services
    }


def test_the_function_calls_exactly_what_its_policy_allows(settings, deployed):
    calls = set()

    class DynamoDb(Handler):
        def do_GET(self):
            calls.add((self.headers.get("Authorization"), self.path))
            self.answer(200, {})

        def do_POST(self):
            action = self.headers["X-Amz-Target"].partition(".")[2]
            calls.add((f"dynamodb:{action}", self.body()["TableName"]))
            self.answer(200, {})

    with serving(DynamoDb) as address, running(settings, f"http://{address}") as function:
        accepted, _ = function.post(heartbeat("allowed", metrics={}))
        looked_up, _ = function.post(heartbeat("allowed", metrics={}), key="hb_" + "a" * 43)
    assert (accepted, looked_up) == (200, 401)
    # The warm-up requests have no credentials and need no permission.
    calls.remove((None, "/"))
    assert calls == allowed("FunctionRole", deployed, "dynamodb")


def test_the_watchdog_calls_exactly_what_its_policy_allows(watchdog_settings, deployed):
    calls = set()
    seen = {"S": "2026-01-18T10:00:00.000000Z"}
    # The slot in which its days are written is 10:29's.
    late = {"server_id": {"S": "web-2153"}, "status": {"S": "online"}, "last_seen": seen}
    gone = {"server_id": {"S": "web-1"}, "status": {"S": "offline"}, "last_seen": {"S": "2026-01-16T10:00:00.000000Z"}}
    own = {"server_id": {"S": "#watchdog"}, "swept_at": {"S": "2026-01-18T10:29:00.000000Z"}}
    own["rolled_until"] = {"S": "2026-01-18T10:28:00.000000Z"}
    groups = {"server_id": {"S": "#groups"}, "web": {"M": {"ephemeral": {"BOOL": True}}}}
    gone["group"] = {"S": "web"}

    class DynamoDb(Handler):
        def do_GET(self):
            self.answer(200, {})

        def do_POST(self):
            action = self.headers["X-Amz-Target"].partition(".")[2]
            request = self.body()
            for table in request.get("RequestItems") or [request["TableName"]]:
                calls.add((f"dynamodb:{action}", table))
            found = [item for item in (own, groups) if item["server_id"] == request.get("Key", {}).get("server_id")]
            items = {"Items": [late, gone, own], "Count": 3} if action == "Scan" else {"Items": [], "Count": 0}
            self.answer(200, {"Item": found[0]} if found and action == "GetItem" else items)

    with serving(DynamoDb) as address, dev("topic") as (sns, published):
        endpoints = {"AWS_ENDPOINT_URL_SNS": sns}
        with running(watchdog_settings | endpoints, f"http://{address}", program=WATCHDOG) as function:
            answer = function.invoke({"time": "2026-01-18T10:30:00Z"})
        form = json.loads(published.readline())
        calls.add((f"sns:{form['Action']}", form["TopicArn"]))
    assert answer is None, function.log
    assert calls == allowed("WatchdogRole", deployed, "dynamodb", "sns")


def test_the_deployed_watchdog_marks_a_late_server(aws, watchdog_settings, dynamodb, deployed):
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    key = {"server_id": {"S": "late"}}
    seen = {"status": {"S": "online"}, "last_seen": {"S": "2026-01-18T10:00:00.000000Z"}}
    client.put_item(TableName=deployed["ServersTable"], Item=key | seen)
    own = {"server_id": {"S": "#watchdog"}}
    client.put_item(TableName=deployed["ServersTable"], Item=own | {"swept_at": {"S": "2026-01-18T10:02:00.000000Z"}})
    endpoints = {"AWS_ENDPOINT_URL_SNS": aws("sns").meta.endpoint_url}
    with running(watchdog_settings | endpoints, dynamodb, program=WATCHDOG) as function:
        function.invoke({"time": "2026-01-18T10:03:01Z"})
    server = client.get_item(TableName=deployed["ServersTable"], Key=key)["Item"]
    for item in (key, own):
        client.delete_item(TableName=deployed["ServersTable"], Key=item)
    assert (server["status"], server["announced"]) == ({"S": "offline"}, seen["last_seen"]), function.log


def test_the_deployed_notify_passes_an_announcement_on(aws, deployed, dynamodb):
    given = environment(aws, deployed["NotifyFunction"])
    assert given == {"WEBHOOK_URLS": PARAMETERS["WebhookUrls"], "SERVERS_TABLE": deployed["ServersTable"], "TIME_ZONE": "UTC"}
    received = []

    class Webhook(Handler):
        def do_POST(self):
            received.append((self.path, self.body()))
            self.answer(204)

    message = {"offline": [{"server_id": "web-1", "hostname": None, "last_seen": None}], "omitted": 0}
    with serving(Webhook) as address:
        urls = given["WEBHOOK_URLS"].replace("https://webhook.example.com", f"http://{address}")
        with running(given | {"WEBHOOK_URLS": urls}, dynamodb, program=NOTIFY) as function:
            sns = {"Subject": "web-1 is offline", "Message": json.dumps(message)}
            answer = function.invoke({"Records": [{"Sns": sns}]})
    assert answer is None, function.log
    assert received == [("/T0K3N", message)]
    assert "T0K3N" not in json.dumps(function.log)
    key = {"server_id": {"S": "#notify"}}
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    noted = client.get_item(TableName=deployed["ServersTable"], Key=key)["Item"]
    client.delete_item(TableName=deployed["ServersTable"], Key=key)
    assert noted.keys() == {"server_id", "format_1", "delivered_1"} and noted["format_1"] == {"S": "json"}


def test_every_log_line_has_a_timestamp_and_a_level_that_lambda_knows(settings, dynamodb):
    with running(settings, dynamodb, level="DEBUG") as function:
        function.post(heartbeat("logged"))
        function.post(heartbeat("logged"), key="wrong")
    messages = {line["message"] for line in function.log}
    assert messages == {"started", "heartbeat received", "server registered", "rejected"}
    for line in function.log:
        assert TIMESTAMP.fullmatch(line["timestamp"]), line
        assert line["level"] in LEVELS, line
    assert [line["level"] for line in function.log if line["message"] == "rejected"] == ["WARN"]


def test_a_filter_at_warn_keeps_every_rejection_and_every_error(settings, dynamodb):
    with running(settings | {"METRICS_TABLE": "missing"}, dynamodb, level="WARN") as function:
        rejected, _ = function.post({})
        failed, _ = function.post(heartbeat("filtered", metrics={}))
    assert (rejected, failed) == (422, 500)
    lines = [(line["level"], line["message"], line["status"]) for line in kept(function.log, "WARN")]
    assert lines == [("WARN", "rejected", 422), ("ERROR", "storage fault", 500)]
    assert kept(function.log, "WARN") == function.log
    assert all(line["request_id"] for line in function.log)


def test_an_invalid_digest_stops_the_start_and_is_named(settings, dynamodb):
    with running(settings | {"API_KEY_SHA256": "a" * 64 + ",b"}, dynamodb) as function:
        status = function.exit_status()
    assert status != 0
    (line,) = function.log
    assert (line["level"], line["message"]) == ("ERROR", "could not start")
    assert "API_KEY_SHA256: entry 2" in line["reason"]
