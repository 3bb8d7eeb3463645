"""What the template becomes, held against the code and against what AWS knows."""

import itertools
import json
import re

import pytest
from stack import ROOT, of_type, read, sole, transform

# Lambda sets these itself.
SET_BY_LAMBDA = {"AWS_LAMBDA_LOG_LEVEL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
# These lead to another DynamoDB than AWS's: for tests and other networks.
FOR_ELSEWHERE = {"AWS_ENDPOINT_URL_DYNAMODB", "AWS_CA_BUNDLE"}

# The template is ahead of the code.
READ_LATER = {"KEYS_TABLE"}

# What AWS publishes, with the dimensions it is published under.
PUBLISHED = {
    ("AWS/ApiGateway", "5xx", "ApiId"),
    ("AWS/ApiGateway", "Count", "ApiId"),
    ("AWS/ApiGateway", "Latency", "ApiId"),
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName"),
    ("AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", "Operation"),
    ("AWS/DynamoDB", "ThrottledRequests", "TableName", "Operation"),
    ("AWS/Lambda", "Duration", "FunctionName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
}
MEASURED_BY = {"ApiId": "AWS::ApiGatewayV2::Api", "FunctionName": "AWS::Lambda::Function", "TableName": "AWS::DynamoDB::Table"}

ALARMS = {
    "FunctionErrorAlarm",
    "FunctionThrottleAlarm",
    "LatencyAlarm",
    "ServerErrorAlarm",
    "SilenceAlarm",
    "WriteThrottleAlarm",
}


@pytest.fixture(scope="module")
def stack():
    return transform(read())


def source(name):
    return (ROOT / "src" / name).read_text()


def settings(stack):
    return sole(of_type(stack, "AWS::Lambda::Function").values())["Environment"]["Variables"]


def as_list(value):
    return value if isinstance(value, list) else [value]


# Permissions


def granted(stack):
    role = sole(of_type(stack, "AWS::IAM::Role").values())
    statements = sole(role["Policies"])["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return {
        (action, json.dumps(resource))
        for statement in statements
        for action, resource in itertools.product(as_list(statement.get("Action", [])), as_list(statement["Resource"]))
    }


def test_the_function_may_write_to_its_tables_and_its_log_read_a_key_and_nothing_else(stack):
    needed = {
        (action, json.dumps({"Fn::GetAtt": [resource, "Arn"]}))
        for action, resource in [
            ("dynamodb:UpdateItem", "ServersTable"),
            ("dynamodb:PutItem", "MetricsTable"),
            ("dynamodb:GetItem", "KeysTable"),
            ("logs:CreateLogStream", "FunctionLog"),
            ("logs:PutLogEvents", "FunctionLog"),
        ]
    }
    assert needed - granted(stack) == set()
    assert granted(stack) - needed == set()


def test_the_function_has_no_other_policy(stack):
    role = sole(of_type(stack, "AWS::IAM::Role").items())
    function = sole(of_type(stack, "AWS::Lambda::Function").values())
    assert function["Role"] == {"Fn::GetAtt": [role[0], "Arn"]}
    assert "ManagedPolicyArns" not in role[1]
    assert not of_type(stack, "AWS::IAM::Policy") | of_type(stack, "AWS::IAM::ManagedPolicy")


def test_only_the_route_may_invoke_the_function(stack):
    permission = sole(of_type(stack, "AWS::Lambda::Permission").values())
    arn, names = permission["SourceArn"]["Fn::Sub"]
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert arn.endswith("/POST/api/v1/agents/heartbeat")
    assert names["__ApiId__"] == {"Ref": "HeartbeatApi"}
    assert not of_type(stack, "AWS::Lambda::Url")


# Route


def test_there_is_one_route_the_one_that_the_function_answers(stack):
    path = re.search(r'PATH: &str = "(.+)"', source("handler.rs")).group(1)
    body = sole(of_type(stack, "AWS::ApiGatewayV2::Api").values())["Body"]
    assert {path: list(methods) for path, methods in body["paths"].items()} == {path: ["post"]}
    assert not of_type(stack, "AWS::ApiGatewayV2::Route")
    assert stack["Outputs"]["HeartbeatUrl"]["Value"]["Fn::Sub"].endswith(path)


def test_the_stage_is_throttled(stack):
    stage = sole(of_type(stack, "AWS::ApiGatewayV2::Stage").values())
    assert stage["StageName"] == "$default"
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottleRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottleBurst"},
    }


# Logs


def test_every_log_group_forgets(stack):
    groups = of_type(stack, "AWS::Logs::LogGroup")
    assert len(groups) == 2
    assert [name for name, group in groups.items() if "RetentionInDays" not in group] == []


def test_the_access_log_tells_who_what_and_how_long_but_no_header(stack):
    stage = sole(of_type(stack, "AWS::ApiGatewayV2::Stage").values())
    log = stage["AccessLogSettings"]
    assert log["DestinationArn"] == {"Fn::GetAtt": ["AccessLog", "Arn"]}
    values = set(json.loads(log["Format"]).values())
    assert values >= {
        "$context.requestId",
        "$context.integration.requestId",
        "$context.identity.sourceIp",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationErrorMessage",
    }
    assert [value for value in values if "header" in value.lower() or "authorizer" in value] == []


def test_the_function_logs_json_into_its_own_group_at_the_level_asked_for(stack):
    assert sole(of_type(stack, "AWS::Lambda::Function").values())["LoggingConfig"] == {
        "LogGroup": {"Ref": "FunctionLog"},
        "LogFormat": "JSON",
        "ApplicationLogLevel": {"Ref": "LogLevel"},
        "SystemLogLevel": "WARN",
    }


# Tables


def test_every_table_outlives_the_stack(stack):
    tables = {name: stack["Resources"][name] for name in of_type(stack, "AWS::DynamoDB::Table")}
    assert set(tables) == {"ServersTable", "MetricsTable", "KeysTable"}
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert [name for name, table in tables.items() if table.get(policy) != "Retain"] == []
    assert [name for name, table in tables.items() if not table["Properties"].get("DeletionProtectionEnabled")] == []


def test_every_table_is_on_demand_encrypted_and_without_an_index(stack):
    for name, table in of_type(stack, "AWS::DynamoDB::Table").items():
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
        assert table["SSESpecification"] == {"SSEEnabled": True}, name
        assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes"} & set(table), name


def test_servers_and_keys_can_be_restored_and_metrics_and_keys_expire(stack):
    tables = of_type(stack, "AWS::DynamoDB::Table")
    for name in ("ServersTable", "KeysTable"):
        assert tables[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name
    for name in ("MetricsTable", "KeysTable"):
        assert tables[name]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}, name
    assert "TimeToLiveSpecification" not in tables["ServersTable"]
    assert '"expires_at"' in source("store.rs")


# Settings


def test_every_setting_that_is_read_is_set(stack):
    read_by_code = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source("config.rs")))
    assert read_by_code >= SET_BY_LAMBDA | FOR_ELSEWHERE
    assert read_by_code - SET_BY_LAMBDA - FOR_ELSEWHERE - set(settings(stack)) == set()


def test_every_setting_that_is_set_is_read(stack):
    assert [name for name in settings(stack) if name not in READ_LATER and f'"{name}"' not in source("config.rs")] == []


def test_the_function_answers_before_lambda_and_the_api_give_up(stack):
    variables = settings(stack)
    function = sole(of_type(stack, "AWS::Lambda::Function").values())
    attempt, operation = (int(variables[name]) for name in ("ATTEMPT_TIMEOUT_MS", "OPERATION_TIMEOUT_MS"))
    assert attempt < operation < function["Timeout"] * 1000 < 30_000
    latency = of_type(stack, "AWS::CloudWatch::Alarm")["LatencyAlarm"]
    assert attempt < latency["Threshold"] < operation


# Alarms and the dashboard


def metrics_of(alarm):
    if "Metrics" not in alarm:
        return [alarm]
    return [metric["MetricStat"]["Metric"] for metric in alarm["Metrics"] if "MetricStat" in metric]


def test_each_alarm_watches_a_metric_that_exists(stack):
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    assert set(alarms) == ALARMS
    for name, alarm in alarms.items():
        for metric in metrics_of(alarm):
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            assert (metric["Namespace"], metric["MetricName"], *dimensions) in PUBLISHED, name
            for dimension in dimensions.keys() & MEASURED_BY.keys():
                assert dimensions[dimension]["Ref"] in of_type(stack, MEASURED_BY[dimension]), name


def test_the_operation_measured_on_a_table_is_the_one_the_function_may_do(stack):
    for name, alarm in of_type(stack, "AWS::CloudWatch::Alarm").items():
        for metric in metrics_of(alarm):
            if metric["Namespace"] == "AWS/DynamoDB":
                table, operation = (dimension["Value"] for dimension in metric["Dimensions"])
                arn = json.dumps({"Fn::GetAtt": [table["Ref"], "Arn"]})
                assert (f"dynamodb:{operation}", arn) in granted(stack), name


def test_each_alarm_says_why_and_tells_the_topic_where_there_is_one(stack):
    topic = {"Fn::If": ["HasAlarmEmail", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
    for name, alarm in of_type(stack, "AWS::CloudWatch::Alarm").items():
        assert len(alarm["AlarmDescription"]) > 100, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == topic, name
    assert stack["Resources"]["AlarmTopic"]["Condition"] == "HasAlarmEmail"


def test_silence_is_five_minutes_without_a_recorded_heartbeat_and_nothing_else_is(stack):
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    silence = alarms.pop("SilenceAlarm")
    assert silence["Period"] * silence["EvaluationPeriods"] == 300
    assert silence["TreatMissingData"] == "breaching"
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_the_dashboard_shows_metrics_that_exist(stack):
    body = sole(of_type(stack, "AWS::CloudWatch::Dashboard").values())["DashboardBody"]["Fn::Sub"]
    names = set(re.findall(r"\$\{([^}]+)\}", body))
    assert {name for name in names if not name.startswith("AWS::")} <= set(stack["Resources"])
    filters = of_type(stack, "AWS::Logs::MetricFilter").values()
    own = {
        (metric["MetricName"], *(dimension["Key"] for dimension in metric.get("Dimensions", [])))
        for metric in (sole(filter["MetricTransformations"]) for filter in filters)
    }
    shown = set()
    for widget in json.loads(body)["widgets"]:
        for metric in widget["properties"]["metrics"]:
            match [part for part in metric if isinstance(part, str)]:
                case ["${AWS::StackName}", name]:
                    shown.add((name,))
                case [namespace, name, *dimensions]:
                    assert (namespace, name, *dimensions[::2]) in PUBLISHED
                case []:
                    dimension, name = re.search(r',(\w+)} MetricName="(\w+)"', metric[0]["expression"]).groups()
                    shown.add((name, dimension))
    assert shown == own


def test_log_lines_are_counted_in_the_group_they_are_written_to(stack):
    filters = of_type(stack, "AWS::Logs::MetricFilter")
    groups = {name: filter["LogGroupName"]["Ref"] for name, filter in filters.items()}
    assert groups == {"AnswerMetric": "AccessLog", "ColdStartMetric": "FunctionLog", "RegistrationMetric": "FunctionLog"}
    stage = sole(of_type(stack, "AWS::ApiGatewayV2::Stage").values())
    assert "status" in json.loads(stage["AccessLogSettings"]["Format"])


# Parameters


def test_every_parameter_is_used_described_and_shown_once_in_the_console(stack):
    console = stack["Metadata"]["AWS::CloudFormation::Interface"]
    shown = [name for group in console["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(shown) == sorted(stack["Parameters"]) == sorted(console["ParameterLabels"])
    used = json.dumps([stack["Resources"], stack["Conditions"]])
    assert [name for name in stack["Parameters"] if f'{{"Ref": "{name}"}}' not in used] == []
    assert [name for name, parameter in stack["Parameters"].items() if "Description" not in parameter] == []


@pytest.mark.parametrize(
    ("digests", "accepted"),
    [
        ("a" * 64, True),
        ("A" * 64 + ":web-1", True),
        ("a" * 64 + "," + "b" * 64 + ":web-1", True),
        ("", True),
        ("a" * 63, False),
        ("g" * 64, False),
        ("a" * 64 + ",", False),
        ("a" * 64 + ":", False),
        ("a" * 64 + ":Web", False),
        ("a" * 64 + ":" + "w" * 101, False),
    ],
)
def test_a_list_of_digests_is_checked_before_anything_is_deployed(stack, digests, accepted):
    parameter = stack["Parameters"]["ApiKeySha256"]
    assert bool(re.fullmatch(parameter["AllowedPattern"], digests)) == accepted


def test_the_longest_environment_fits_into_lambda(stack):
    values = {name: str(value) for name, value in settings(stack).items()}
    longest = {
        "API_KEY_SHA256": stack["Parameters"]["ApiKeySha256"]["MaxLength"],
        "SERVERS_TABLE": 255,
        "METRICS_TABLE": 255,
        "KEYS_TABLE": 255,
        "METRICS_RETENTION_DAYS": 10,
    }
    size = sum(len(name) + longest.get(name, len(value)) for name, value in values.items())
    assert size <= 4096


# A change that breaks the stack without breaking the build is found, and named.


def places(node, path=()):
    """Every place in a template, as the keys that lead to it."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key), value
        yield from places(value, (*path, key))


def without(template, place):
    *parents, last = place
    node = template
    for key in parents:
        node = node[key]
    del node[last]
    return template


def breakages():
    """Everything whose loss must not go unnoticed: its place, its name and the test that notices."""
    for place, value in places(read()["Resources"]):
        match place:
            case ("FunctionRole", _, "Policies", *_, "Action") if isinstance(value, list):
                yield from (((*place, at), action, "may_write") for at, action in enumerate(value))
            case ("FunctionRole", _, "Policies", *_, "Action"):
                yield place, value, "may_write"
            case (group, "Properties", "RetentionInDays"):
                yield place, group, "forgets"
            case ("HeartbeatFunction", *_, "Variables", name) if name not in READ_LATER:
                yield place, name, "is_read_is_set"
            case (table, "DeletionPolicy" | "UpdateReplacePolicy") | (table, "Properties", "DeletionProtectionEnabled"):
                yield place, table, "outlives"
            case (alarm, *_, "Dimensions", _) if alarm in ALARMS:
                yield place, alarm, "watches_a_metric"


@pytest.mark.parametrize(("place", "name", "test"), [pytest.param(*b, id=".".join(map(str, b[0]))) for b in breakages()])
def test_what_is_deleted_is_named(place, name, test):
    noticing = sole(function for known, function in globals().items() if known.startswith("test_") and test in known)
    broken = transform(without(read(), ("Resources", *place)))
    with pytest.raises(AssertionError, match=name):
        noticing(broken)
