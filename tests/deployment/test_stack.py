"""The stack that moto makes of the template, as far as it knows CloudFormation."""

import ast
import json
import subprocess

import boto3
from conftest import PARAMETERS
from function import running
from shell import run
from stack import read, resolved, transform

# moto does not make these, so nothing that refers to them is tested here.
UNKNOWN_TO_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SNS::Subscription",
    "AWS::Scheduler::Schedule",
}


def test_moto_makes_every_resource_that_it_knows(deployed):
    resources = resolved(transform(read()), **PARAMETERS)["Resources"].items()
    assert set(deployed) == {name for name, resource in resources if resource["Type"] not in UNKNOWN_TO_MOTO}


def test_the_role_may_use_the_tables_and_the_log_of_the_stack(aws, deployed):
    policy = aws("iam").get_role_policy(RoleName=deployed["FunctionRole"], PolicyName="heartbeat")["PolicyDocument"]
    names = ("ServersTable", "MetricsTable", "KeysTable")
    tables = [aws("dynamodb").describe_table(TableName=deployed[name])["Table"] for name in names]
    # moto returns it as a Python literal.
    assert [statement["Resource"] for statement in ast.literal_eval(policy)["Statement"]] == [
        *(table["TableArn"] for table in tables),
        # AWS appends the streams, which the role writes to; moto does not.
        log_group(aws, deployed["FunctionLog"])["arn"].removesuffix(":*"),
    ]


def test_the_function_has_its_role_and_its_log_expires(aws, deployed):
    function = aws("lambda").get_function_configuration(FunctionName=deployed["HeartbeatFunction"])
    assert function["Role"].endswith(deployed["FunctionRole"])
    assert log_group(aws, deployed["FunctionLog"])["retentionInDays"] == 30


def test_the_watchdog_gets_the_arn_of_the_topic(aws, deployed, watchdog_settings):
    (topic,) = aws("sns").list_topics()["Topics"]
    assert watchdog_settings["ALERT_TOPIC_ARN"] == topic["TopicArn"] == deployed["AlertTopic"]


def test_make_example_prints_a_heartbeat(aws, settings, dynamodb, deployed):
    endpoint = aws("cloudformation").meta.endpoint_url
    example = run("make --silent --no-print-directory example", AWS_ENDPOINT_URL=endpoint)
    assert "\n" not in example.strip()
    # A fake curl that prints the header and the body.
    printed = subprocess.run(
        ["bash", "-c", f"curl() {{ printf '%s\\n' \"$2\" \"$4\"; }}; API_KEY=secret; {example}"],
        check=True,
        capture_output=True,
        text=True,
    )
    header, body = printed.stdout.splitlines()
    assert header == "X-API-Key: secret"
    with running(settings, dynamodb) as function:
        status, _ = function.post(json.loads(body))
    assert status == 200
    # It leaves no server behind that would go offline.
    tables = boto3.client("dynamodb", endpoint_url=dynamodb)
    servers = tables.scan(TableName=deployed["ServersTable"])["Items"]
    assert "example" not in [server["server_id"]["S"] for server in servers]
    rows = tables.scan(TableName=deployed["MetricsTable"])["Items"]
    assert "example" in [row["server_id"]["S"] for row in rows]


def log_group(aws, name):
    groups = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    (group,) = (group for group in groups if group["logGroupName"] == name)
    return group
