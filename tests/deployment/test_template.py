"""The transformed template: what is in it, and the rules that it has to keep. tests/guards compares it with the code."""

import difflib
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from local import ROOT
from stack import NO_VALUE, of_type, read, resolved, single, transform

# Metrics that AWS publishes, with their dimensions.
PUBLISHED = {
    ("AWS/ApiGateway", "4xx", "ApiId"),
    ("AWS/ApiGateway", "5xx", "ApiId"),
    ("AWS/ApiGateway", "Count", "ApiId"),
    ("AWS/DynamoDB", "ThrottledRequests", "TableName", "Operation"),
    ("AWS/Lambda", "Duration", "FunctionName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Invocations", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
    ("AWS/Lambda", "Url4xxCount", "FunctionName"),
    ("AWS/Lambda", "Url5xxCount", "FunctionName"),
    ("AWS/Lambda", "UrlRequestCount", "FunctionName"),
    ("AWS/SNS", "NumberOfNotificationsFailed", "TopicName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
}
MEASURED_BY = {
    "ApiId": "AWS::ApiGatewayV2::Api",
    "FunctionName": "AWS::Lambda::Function",
    "TableName": "AWS::DynamoDB::Table",
}

WEBHOOKS = "ntfy:https://ntfy.sh/topic slack:https://hooks.slack.com/services/T/B/X"
CUSTOMER_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

# The parameters that add something, each with a value that does, and those that do not.
OPTIONS = {
    "AccessLog": ("all", "none"),
    "AlarmEmail": ("ops@example.com", "none", ""),
    "ApiKeySha256": ("a" * 64, "none", ""),
    "CaBundle": ("/etc/pki/tls/certs/ca-bundle.crt", "none"),
    "Capacity": ("provisioned", "on-demand"),
    "CertificateArn": ("arn:aws:acm:us-east-1:123456789012:certificate/1", "none"),
    "DomainName": ("heartbeat.example.com", "none"),
    "Front": ("both", "url", "api"),
    "HoldSeconds": ("0", "auto"),
    "HostedZoneId": ("Z1", "none"),
    "KmsKeyArn": (CUSTOMER_KEY, "alias/aws/dynamodb", "none"),
    "Monitoring": ("alarms", "none"),
    "OfflineAfterSeconds": ("180", "0"),
    "PageMay": ("silence", "look"),
    "PagePasswordSha256": ("ab" * 32, "none"),
    "PageReservedConcurrency": ("2", "none"),
    "PermissionsBoundary": ("arn:aws:iam::123456789012:policy/team/boundary", "none"),
    "PingUrl": ("https://hc-ping.com/x", "none"),
    "ReservedConcurrency": ("50", "none"),
    "WebhookUrls": (WEBHOOKS, "none"),
}
EVERYTHING = {name: value for name, (value, *_) in OPTIONS.items()}
WITHOUT = [(name, value) for name, (_, *without) in OPTIONS.items() for value in without]


@pytest.fixture(scope="module")
def stack():
    return transform(read())


@pytest.fixture(scope="module")
def whole(stack):
    return resolved(stack, **EVERYTHING)


def function(stack, name="HeartbeatFunction"):
    return of_type(stack, "AWS::Lambda::Function")[name]


def settings(stack, name="HeartbeatFunction"):
    return function(stack, name)["Environment"]["Variables"]


def as_list(value):
    return value if isinstance(value, list) else [value]


# What is in it


def short(node):
    """A part of a stack, for people: short functions, and no descriptions."""
    match node:
        case {"Ref": name}:
            return f"!Ref {name}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"!GetAtt {name}.{attribute}"
        case dict():
            return {key: short(value) for key, value in node.items() if key not in ("AlarmDescription", "Description")}
        case list():
            return [short(value) for value in node]
    return node


def leaves(node, path=()):
    """The values in a part of a stack, by path."""
    if isinstance(node, dict) and node:
        return {leaf: value for key in node for leaf, value in leaves(node[key], (*path, key)).items()}
    return {".".join(part for part in path if part not in ("Resources", "Properties")): node}


def difference(whole, part):
    """What a stack lacks that is a part of another, and what is different."""
    whole, part = short(whole), short(part)
    both = {section: whole[section].keys() & part[section].keys() for section in ("Resources", "Outputs")}
    lacks = [name for section in both for name in whole[section] if name not in part[section]]
    before, after = ({s: {name: stack[s][name] for name in both[s]} for s in both} for stack in (whole, part))
    before, after = leaves(before), leaves(after)
    changed = {path: after.get(path) for path in sorted(before | after) if before.get(path) != after.get(path)}
    return {"lacks": sorted(lacks), "changed": changed}


def test_the_transformed_template_is_as_recorded(stack, whole):
    """`make snapshots` records it."""
    recorded = Path(__file__).parent / "template.snapshot.yaml"
    present = {
        "Everything": short({section: (stack | whole)[section] for section in ("Rules", "Resources", "Outputs")}),
        "Without": {
            f"{name}={value}": difference(whole, resolved(stack, **EVERYTHING | {name: value}))
            for name, value in WITHOUT
        },
    }
    text = yaml.safe_dump(present, default_flow_style=None, width=120)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        recorded.write_text(text)
    changes = difflib.unified_diff(recorded.read_text().splitlines(), text.splitlines(), lineterm="", n=8)
    changes = "\n".join(changes)
    assert not changes, f"{changes}\n\nIf that is meant: make snapshots"


# Permissions


def statements(stack):
    """Each statement of each policy, with the name of its role or policy."""
    for name, role in of_type(stack, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, policy in of_type(stack, "AWS::IAM::Policy").items():
        yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])


def granted(stack, role="FunctionRole"):
    return {
        (action, json.dumps(resource))
        for name, statement in statements(stack)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
        if name == role
    }


def test_every_function_has_a_role_of_its_own_that_names_what_it_may_do_and_to_what(whole):
    roles = [json.dumps(function["Role"]) for function in of_type(whole, "AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(roles) > 1
    assert [name for name, role in of_type(whole, "AWS::IAM::Role").items() if "ManagedPolicyArns" in role] == []
    for name, statement in statements(whole):
        assert statement["Effect"] == "Allow" and "*" not in json.dumps(statement["Resource"]), name
        assert name == "KmsKeyPolicy" or "*" not in json.dumps(statement["Action"]), name


# C13.2
def test_the_page_may_read_two_tables_write_its_log_and_nothing_else(stack):
    looking = resolved(stack, **EVERYTHING | {"PageMay": "look"})
    actions = {action for action, _ in granted(looking, "PageRole")}
    assert actions == {"dynamodb:GetItem", "dynamodb:Scan", "dynamodb:Query", "logs:CreateLogStream", "logs:PutLogEvents"}


# C11.5
def test_notify_may_write_one_item_and_only_the_watchdog_and_heartbeats_any_other(whole):
    def to_servers(role):
        return [
            (statement["Action"], statement.get("Condition"))
            for name, statement in statements(whole)
            if name == role and statement["Resource"] == {"Fn::GetAtt": ["ServersTable", "Arn"]}
        ]

    own = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["#notify"]}}
    assert to_servers("NotifyRole") == [("dynamodb:UpdateItem", own)]
    assert to_servers("FunctionRole") == [("dynamodb:UpdateItem", None)]
    assert {"Ref": "NotifyRole"} in of_type(whole, "AWS::IAM::Policy")["KmsKeyPolicy"]["Roles"]


# C13.14
def test_a_page_that_may_silence_writes_silences_and_that_they_happened(whole):
    changes = [
        (statement["Action"], statement["Resource"]["Fn::GetAtt"][0], statement["Condition"])
        for name, statement in statements(whole)
        if name == "PageRole" and "Condition" in statement
    ]
    silenced = {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["server_id", "silenced_until"]},
        "ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["#*"]},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
    }
    happened = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["#events", "#events:*"]}}
    assert changes == [
        ("dynamodb:UpdateItem", "ServersTable", silenced),
        ("dynamodb:PutItem", "MetricsTable", happened),
    ]


# C13.4
@pytest.mark.parametrize("level", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
def test_sign_ins_are_kept_at_any_log_level_and_counted(stack, level):
    part = resolved(stack, **EVERYTHING | {"LogLevel": level})
    kept = function(part, "PageFunction")["LoggingConfig"]["ApplicationLogLevel"]
    assert kept == ("INFO" if level in ("WARN", "ERROR", "FATAL") else {"Ref": "LogLevel"})
    counted, alarm = part["Resources"]["PageSignInFilter"]["Properties"], part["Resources"]["SignInAlarm"]["Properties"]
    (transformation,) = counted["MetricTransformations"]
    assert counted["LogGroupName"] == {"Ref": "PageLog"}
    assert (alarm["Namespace"], alarm["MetricName"]) == (transformation["MetricNamespace"], transformation["MetricName"])
    assert (alarm["Threshold"], alarm["Period"], alarm["EvaluationPeriods"]) == (20, 300, 1)
    # What the function says of a wrong password.
    words = re.fullmatch(r'{ \$\.message = "(.*)" }', counted["FilterPattern"])[1]
    assert f'"{words}"' in (ROOT / "src/page/session.rs").read_text()


# C13.2 C1.2
def test_the_page_changes_nothing_of_the_heartbeats_api_and_its_alarms(stack, whole):
    without = resolved(stack, **EVERYTHING | {"PagePasswordSha256": "none"})
    links = {f"{name}.Environment.Variables.PAGE_URL.Fn::Sub" for name in ("NotifyFunction", "WatchdogFunction")}
    assert set(difference(whole, without)["changed"]) == links | {"KmsKeyPolicy.Roles"}
    for alarm in of_type(whole, "AWS::CloudWatch::Alarm").values():
        assert "Page" not in json.dumps(alarm)


def test_every_role_has_the_boundary_that_the_account_demands(whole):
    for name, role in of_type(whole, "AWS::IAM::Role").items():
        assert role["PermissionsBoundary"] == {"Ref": "PermissionsBoundary"}, name


def test_a_function_is_invoked_only_by_what_its_permission_names(whole):
    for name, permission in of_type(whole, "AWS::Lambda::Permission").items():
        # Anybody, but through the URL only.
        by_url = {"FunctionUrlAuthType", "InvokedViaFunctionUrl"} & permission.keys()
        assert permission["Principal"] == "*" if by_url else permission["SourceArn"], name


# Fronts


FRONTS = [
    {"Front": front} | more
    for front in ("api", "url", "both")
    for more in ({}, {"Monitoring": "none"}, {"PagePasswordSha256": "ab" * 32, "PageReservedConcurrency": "2"})
]


@pytest.mark.parametrize("given", FRONTS, ids=lambda given: "-".join(given.values()))
def test_a_front_has_what_it_needs_and_nothing_of_the_other(stack, given):
    part = resolved(stack, **{"ReservedConcurrency": "20"} | given)
    front, has_page = given["Front"], "PagePasswordSha256" in given
    present = {name for name in part["Resources"] if not name.startswith("Page")}
    api = {"HeartbeatApi", "HeartbeatApiApiGatewayDefaultStage", "HeartbeatFunctionHeartbeatPermission", "AccessLogGroup"}
    url = {"HeartbeatFunctionUrl", "HeartbeatFunctionUrlPublicPermissions", "HeartbeatFunctionURLInvokeAllowPublicAccess"}
    assert present & (api | url) == {"api": api, "url": url, "both": api | url}[front]
    named = {name for name in references([part["Resources"], part["Outputs"]]) if not name.startswith("AWS::")}
    assert named <= part["Resources"].keys() | part["Parameters"].keys()
    assert {"HeartbeatUrl", "Example"} <= part["Outputs"].keys() and ("PageUrl" in part["Outputs"]) == has_page
    host = json.dumps(part["Outputs"]["HeartbeatUrl"])
    # In a move, it is the new one.
    assert ("HeartbeatFunctionUrl" in host) == (front != "api") and ("HeartbeatApi" in host) == (front == "api")
    # The page has its own API whatever the front is, and keeps its share.
    assert ("PageApi" in part["Resources"]) == has_page
    if has_page:
        assert function(part, "PageFunction")["ReservedConcurrentExecutions"] == {"Ref": "PageReservedConcurrency"}
    assert bool(of_type(part, "AWS::CloudWatch::Alarm")) == (given.get("Monitoring") != "none")


def test_a_move_by_both_leaves_out_nothing_that_agents_of_the_step_before_use(stack):
    api, both, url = (resolved(stack, Front=front, ReservedConcurrency="20") for front in ("api", "both", "url"))
    first, second = difference(api, both), difference(both, url)
    assert first["lacks"] == []
    assert second["lacks"] == [
        "AccessLogGroup", "HeartbeatApi", "HeartbeatApiApiGatewayDefaultStage", "HeartbeatFunctionHeartbeatPermission",
    ]
    alarms = ("SilenceAlarm.", "ServerErrorAlarm.", "RejectionAlarm.")
    added = ("Outputs.HeartbeatUrl.Value", "Outputs.Example.Value")
    assert [path for path in first["changed"] if not path.startswith(alarms + added)] == []
    assert [path for path in second["changed"] if not path.startswith(alarms)] == []


def test_the_url_and_its_permissions_are_those_that_sam_makes_itself(stack):
    template = read()
    properties = template["Resources"]["HeartbeatFunction"]["Properties"]
    properties["FunctionUrlConfig"] = {"AuthType": "NONE"}
    names = ("HeartbeatFunctionUrl", "HeartbeatFunctionUrlPublicPermissions", "HeartbeatFunctionURLInvokeAllowPublicAccess")
    for name in names:
        del template["Resources"][name]
    for output in ("HeartbeatUrl", "Example"):
        del template["Outputs"][output]
    made = transform(template)
    for name in names:
        ours = {key: value for key, value in stack["Resources"][name].items() if key != "Condition"}
        assert ours == made["Resources"][name] and stack["Resources"][name]["Condition"] == "HasUrl"
    # SAM makes no permission under a condition.
    properties["FunctionUrlConfig"] = {"Fn::If": ["HasUrl", {"AuthType": "NONE"}, NO_VALUE]}
    assert not {name for name in names if "Public" in name} & transform(template)["Resources"].keys()


def test_the_api_is_the_one_that_sam_makes_of_an_event(stack):
    template = read()
    del template["Resources"]["HeartbeatFunctionHeartbeatPermission"]
    api, function = (template["Resources"][name] for name in ("HeartbeatApi", "HeartbeatFunction"))
    del api["Condition"], api["Properties"]["DefinitionBody"]
    event = {"ApiId": {"Ref": "HeartbeatApi"}, "Method": "POST", "Path": "/api/v1/agents/heartbeat"}
    function["Properties"]["Events"] = {"Heartbeat": {"Type": "HttpApi", "Properties": event}}
    assert of_type(transform(template), "AWS::ApiGatewayV2::Api")["HeartbeatApi"] == of_type(stack, "AWS::ApiGatewayV2::Api")["HeartbeatApi"]


def test_each_front_is_counted_by_the_same_alarms(stack):
    counted = {"SilenceAlarm": {"Count", "4xx", "5xx"}, "ServerErrorAlarm": {"Count", "5xx"}, "RejectionAlarm": {"Count", "4xx"}}
    of_url = {"Count": "UrlRequestCount", "4xx": "Url4xxCount", "5xx": "Url5xxCount"}
    alarms = {
        front: of_type(resolved(stack, Front=front, ReservedConcurrency="20"), "AWS::CloudWatch::Alarm")
        for front in ("api", "url", "both")
    }
    assert alarms["api"].keys() == alarms["url"].keys() == alarms["both"].keys()
    for name, metrics in counted.items():
        urls = {of_url[metric] for metric in metrics}
        measured = {front: {metric["MetricName"] for metric in metrics_of(each[name])} for front, each in alarms.items()}
        assert measured == {"api": metrics, "url": urls, "both": metrics | urls}
        assert alarms["api"][name]["Threshold"] == alarms["url"][name]["Threshold"] == alarms["both"][name]["Threshold"]
        for each in alarms.values():
            ids = {metric["Id"] for metric in each[name]["Metrics"] if "MetricStat" in metric}
            (expression,) = [metric["Expression"] for metric in each[name]["Metrics"] if "Expression" in metric]
            assert set(re.findall(r"[a-z]\w+", expression)) == ids
    # Nothing is pulled down by what is not counted: requests are added, and rejections taken off.
    (silence,) = [each["Expression"] for each in alarms["both"]["SilenceAlarm"]["Metrics"] if "Expression" in each]
    assert re.findall(r"([+-]?) ?FILL\((\w+), 0\)", silence) == [
        ("", "received"), ("-", "rejected"), ("-", "failed"), ("+", "url_received"), ("-", "url_rejected"), ("-", "url_failed"),
    ]


def test_a_url_without_reserved_concurrency_or_with_a_domain_is_rejected(stack):
    rules = {name: [list(each["Assert"].values()) for each in rule["Assertions"]] for name, rule in stack["Rules"].items()}
    is_none = lambda name, value: [{"Fn::Equals": [{"Ref": name}, value]}]
    assert rules["UrlNeedsReservedConcurrency"] == [[is_none("ReservedConcurrency", "none")]]
    assert [is_none("Front", "url")] in rules["DomainNeedsCertificate"]
    assert stack["Rules"]["UrlNeedsReservedConcurrency"]["RuleCondition"] == {"Fn::Not": is_none("Front", "api")}


# Route


def test_the_only_route_is_the_one_that_the_function_answers(stack):
    # A test of the code compares openapi.json with it.
    (path,) = json.loads((ROOT / "openapi.json").read_text())["paths"]
    body = of_type(stack, "AWS::ApiGatewayV2::Api")["HeartbeatApi"]["Body"]
    assert {path: list(methods) for path, methods in body["paths"].items()} == {path: ["post"]}
    assert not of_type(stack, "AWS::ApiGatewayV2::Route")
    for output in ("HeartbeatUrl", "Example"):
        assert stack["Outputs"][output]["Value"]["Fn::Sub"][0].endswith("{Host}" + path)


# Logs


def test_every_log_group_has_a_retention(whole):
    groups = of_type(whole, "AWS::Logs::LogGroup")
    assert [name for name, group in groups.items() if "RetentionInDays" not in group] == []


def test_each_function_logs_json_into_its_own_group(whole):
    configurations = [function["LoggingConfig"] for function in of_type(whole, "AWS::Lambda::Function").values()]
    assert {configuration["LogFormat"] for configuration in configurations} == {"JSON"}
    groups = [configuration["LogGroup"]["Ref"] for configuration in configurations]
    assert len(set(groups)) == len(groups)


def test_the_access_log_is_json_and_has_no_header(whole):
    (stage,) = (stage for stage in of_type(whole, "AWS::ApiGatewayV2::Stage").values() if "AccessLogSettings" in stage)
    # The message of an error comes as JSON, with its quotes.
    line = stage["AccessLogSettings"]["Format"].replace("$context.error.messageString", json.dumps('said "no"'))
    assert json.loads(line)["error"] == 'said "no"'
    values = json.loads(line).values()
    assert [value for value in values if "header" in value.lower() or "authorizer" in value] == []


# Tables


def test_every_table_outlives_the_stack_and_has_no_index(whole):
    tables = {name: whole["Resources"][name] for name in of_type(whole, "AWS::DynamoDB::Table")}
    for name, table in tables.items():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain", name
        assert table["Properties"]["DeletionProtectionEnabled"] is True, name
        assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes"} & set(table["Properties"]), name


def test_auto_scaling_may_provide_what_the_api_lets_through(stack):
    defaults = {name: parameter["Default"] for name, parameter in stack["Parameters"].items()}
    assert defaults["ThrottleRate"] <= defaults["WriteCapacityMax"]


# Functions


def test_each_function_is_built_from_a_binary_of_its_own():
    template = read()
    functions = [template["Resources"][name] for name in of_type(template, "AWS::Serverless::Function")]
    binaries = [function["Metadata"]["BuildProperties"]["Binary"] for function in functions]
    assert len(set(binaries)) == len(binaries) > 1


def test_a_sweep_gets_its_scheduled_time_and_ends_before_the_next(whole):
    schedule = single(of_type(whole, "AWS::Scheduler::Schedule").values())
    assert json.loads(schedule["Target"]["Input"]) == {"time": "<aws.scheduler.scheduled-time>"}
    # A fixed name would collide with another stack's.
    assert "Name" not in schedule
    assert schedule["ScheduleExpression"] == "rate(1 minute)" and function(whole, "WatchdogFunction")["Timeout"] < 60


def test_nobody_gets_a_message_twice_because_lambda_retries(whole):
    invocations = of_type(whole, "AWS::Lambda::EventInvokeConfig")
    assert {name: invocation["MaximumRetryAttempts"] for name, invocation in invocations.items()} == {
        "NotifyFunctionEventInvokeConfig": 0,
        "WatchdogFunctionEventInvokeConfig": 0,
    }


# Conditions


def references(node):
    """The logical ids that a part of a stack refers to."""
    match node:
        case {"Ref": name}:
            yield name
        case {"Fn::GetAtt": [name, _]}:
            yield name
        case {"Fn::Sub": str(text)}:
            yield from re.findall(r"\$\{([^}.]+)", text)
        case {"Fn::Sub": [text, names]}:
            yield from set(re.findall(r"\$\{([^}.]+)", text)) - set(names)
            yield from references(names)
        case dict():
            for value in node.values():
                yield from references(value)
        case list():
            for value in node:
                yield from references(value)


def test_nothing_refers_to_what_is_left_out(stack):
    one_left_out = [EVERYTHING | {name: value} for name, value in WITHOUT]
    one_given = [dict(WITHOUT) | {name: value} for name, value in EVERYTHING.items()]
    for given in (EVERYTHING, {}, dict(WITHOUT), *one_left_out, *one_given):
        part = resolved(stack, **given)
        present = set(part["Resources"]) | set(part["Parameters"])
        named = set(references([part["Resources"], part["Outputs"]]))
        assert {name for name in named if not name.startswith("AWS::")} <= present, given


# Alarms


def metrics_of(alarm):
    if "Metrics" not in alarm:
        return [alarm]
    return [metric["MetricStat"]["Metric"] for metric in alarm["Metrics"] if "MetricStat" in metric]


def test_each_alarm_watches_a_metric_that_exists(whole):
    for name, alarm in of_type(whole, "AWS::CloudWatch::Alarm").items():
        for metric in metrics_of(alarm):
            if metric["Namespace"] == {"Ref": "AWS::StackName"}:
                # The stack's own, from a log.
                continue
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            assert (metric["Namespace"], metric["MetricName"], *dimensions) in PUBLISHED, name
            for dimension in dimensions.keys() & MEASURED_BY.keys():
                assert dimensions[dimension]["Ref"] in of_type(whole, MEASURED_BY[dimension]), name


def test_alarms_on_tables_measure_operations_that_the_function_may_call(whole):
    for name, alarm in of_type(whole, "AWS::CloudWatch::Alarm").items():
        for metric in metrics_of(alarm):
            if metric["Namespace"] == "AWS/DynamoDB":
                table, operation = (dimension["Value"] for dimension in metric["Dimensions"])
                arn = json.dumps({"Fn::GetAtt": [table["Ref"], "Arn"]})
                assert (f"dynamodb:{operation}", arn) in granted(whole), name


def test_each_calculated_alarm_returns_only_its_result(whole):
    for name, alarm in of_type(whole, "AWS::CloudWatch::Alarm").items():
        if "Metrics" in alarm:
            returned = [metric for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
            assert "Expression" in single(returned), name


def test_each_alarm_is_described_and_notifies_the_topic(whole):
    for name, alarm in of_type(whole, "AWS::CloudWatch::Alarm").items():
        assert len(alarm["AlarmDescription"]) > 100, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlertTopic"}], name


def test_only_the_silence_of_the_fleet_or_the_watchdog_is_an_alarm_without_data(whole):
    alarms = of_type(whole, "AWS::CloudWatch::Alarm").items()
    silence = {name: alarm for name, alarm in alarms if alarm["TreatMissingData"] != "notBreaching"}
    assert set(silence) == {"SilenceAlarm", "SweepAlarm"}
    # Nobody is mailed before the first agents and sweeps are there.
    assert all("WarmUpConfiguration" in alarm for alarm in silence.values())


# Parameters


def test_every_parameter_is_used_and_described(stack):
    used = json.dumps([stack["Resources"], stack["Conditions"]])
    assert [name for name in stack["Parameters"] if f'{{"Ref": "{name}"}}' not in used] == []
    assert [name for name, parameter in stack["Parameters"].items() if "Description" not in parameter] == []


def test_secrets_are_shown_nowhere(stack):
    for name in ("PagePasswordSha256", "PingUrl", "WebhookUrls"):
        assert stack["Parameters"][name]["NoEcho"] is True and name not in json.dumps(stack["Outputs"]), name


PATTERNS = {
    "AlarmEmail": (["", "none", "ops@example.com"], ["nobody", "a b@example.com", "@"]),
    "ApiKeySha256": (
        ["a" * 64, "A" * 64 + ":web-1", "a" * 64 + "," + "b" * 64 + ":web-1", "", "none"],
        ["a" * 63, "g" * 64, "a" * 64 + ",", "a" * 64 + ":", "a" * 64 + ":Web", "a" * 64 + ":" + "w" * 101],
    ),
    "BackAfterSeconds": (["0", "300"], ["1.5", "-1", "", "none"]),
    "CaBundle": (["none", "/opt/roots.pem"], ["", "roots.pem", "/"]),
    "DigestAt": (
        ["none", "00:00", "23:59", "07:30/always", "08:00", "08:00,20:00", "08:00,12:30,20:00/always"],
        ["", "24:00", "7:00", "07:60", "07:30/", "none/always", "08:00,", "08:00/always,20:00", "08:00 20:00"],
    ),
    "HoldSeconds": (["auto", "0", "600"], ["1.5", "-1", "", "none"]),
    "KmsKeyArn": (["none", "alias/aws/dynamodb", CUSTOMER_KEY], ["", "alias/mine"]),
    "Limits": (
        [
            "none",
            "disk_percent=90",
            "disk_percent=90,load_5m=1.5",
            "cpu_percent=90/10m,load_5m=8/2h",
            "disk_percent:/backup=97,disk_percent:/iso=off,disk_percent:/var/lib=95/1h",
            "disk_percent=90,disk_percent!=97,disk_percent!:/data=99/10m,disk_percent!:/iso=off,load_5m!=16",
            "service=off",
            "service:fwupd-refresh=off,duplicate=off",
        ],
        ["", "disk_percent", "disk_percent=off", "service=on", "duplicate=on", "cpu_percent=90/10", "service=off,", "disk_percent!!=97", "service!=off"],
    ),
    "HistoryDays": (["0", "1", "400", "3650"], ["1.5", "-1", "ten", "", "030"]),
    "MetricsRetentionDays": (["1", "30", "3650"], ["0", "1.5", "-1", "ten", "", "030"]),
    "OfflineAfterSeconds": (["0", "180"], ["1.5", "-1", "", "00", "none"]),
    "PermissionsBoundary": (
        ["none", "arn:aws:iam::123456789012:policy/team/boundary", "arn:aws-cn:iam::aws:policy/AdministratorAccess"],
        ["", "boundary", "arn:aws:iam::123456789012:role/r"],
    ),
    "TimeZone": (
        ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"],
        ["", "/", "Europe/", "Europe Berlin", "+02:00"],
    ),
    "PingUrl": (["none", "https://hc-ping.com/x"], ["http://hc-ping.com/x", ""]),
    "ReservedConcurrency": (["none", "1", "500"], ["0", "1.5", "-1", ""]),
    "ThrottleBurst": (["1", "1000"], ["0", "1.5", "-1", ""]),
    "WebhookUrls": (
        ["none", WEBHOOKS, f"teams:https://example.com/workflows/x?sig=y {WEBHOOKS}", f"slack@db:https://x {WEBHOOKS}", "json@a-1:https://x ntfy@db:https://x/@b:c"],
        ["", "https://ntfy.sh/topic", "slack:http://hooks.slack.com/x", "pager:https://example.com/x", f"{WEBHOOKS} ", "ntfy", "slack@:https://x", "slack@DB:https://x", "@db:https://x", f"slack@{17 * 'a'}:https://x"],
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_parameter_is_checked_before_anything_is_deployed_and_can_be_emptied_again(stack, name):
    accepted, rejected = PATTERNS[name]
    parameter = stack["Parameters"][name]
    assert parameter["Type"] == "String" and parameter["Default"] in accepted
    assert [value for value in accepted if not re.fullmatch(parameter["AllowedPattern"], value)] == []
    assert [value for value in rejected if re.fullmatch(parameter["AllowedPattern"], value)] == []


def test_every_log_level_of_lambda_can_be_chosen(stack):
    assert stack["Parameters"]["LogLevel"]["AllowedValues"] == ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]


def test_the_longest_environment_fits_into_lambda(stack):
    values = {name: str(value) for name, value in settings(stack).items()}
    longest = {
        "API_KEY_SHA256": stack["Parameters"]["ApiKeySha256"]["MaxLength"],
        "SERVERS_TABLE": 255,
        "METRICS_TABLE": 255,
        "KEYS_TABLE": 255,
        "METRICS_RETENTION_DAYS": 6,
        "AWS_CA_BUNDLE": stack["Parameters"]["CaBundle"]["MaxLength"],
    }
    size = sum(len(name) + longest.get(name, len(value)) for name, value in values.items())
    assert size <= 4096
    of_notify = {
        "WEBHOOK_URLS": stack["Parameters"]["WebhookUrls"]["MaxLength"],
        # As CloudFormation makes it: the name of a stack, the logical id, and a part of its own.
        "SERVERS_TABLE": 128 + len("-ServersTable-") + 13,
        "TIME_ZONE": stack["Parameters"]["TimeZone"]["MaxLength"],
        "PAGE_URL": len("https://abcdefghij.execute-api.ap-southeast-1.amazonaws.com.cn/"),
        "AWS_CA_BUNDLE": stack["Parameters"]["CaBundle"]["MaxLength"],
    }
    assert settings(stack, "NotifyFunction").keys() == of_notify.keys()
    assert sum(len(name) + length for name, length in of_notify.items()) <= 4096
    # Names of tables, an ARN, numbers and a path: less than 1,500.
    assert sum(stack["Parameters"][name]["MaxLength"] for name in ("Limits", "PingUrl", "DigestAt", "TimeZone")) <= 4096 - 1500
