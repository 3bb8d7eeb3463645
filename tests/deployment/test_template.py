"""The transformed template. tests/guards compares it with the code."""

import itertools
import json
import re

import pytest
from stack import ROOT, of_type, read, resolved, single, transform

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
    ("AWS/SNS", "NumberOfNotificationsFailed", "TopicName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
}
MEASURED_BY = {
    "ApiId": "AWS::ApiGatewayV2::Api",
    "FunctionName": "AWS::Lambda::Function",
    "TableName": "AWS::DynamoDB::Table",
}

ALARMS = {
    "DeliveryAlarm",
    "FunctionErrorAlarm",
    "FunctionThrottleAlarm",
    "LatencyAlarm",
    "NotifyAlarm",
    "RejectionAlarm",
    "ServerErrorAlarm",
    "SilenceAlarm",
    "SweepAlarm",
    "WriteThrottleAlarm",
}

WEBHOOKS = "ntfy:https://ntfy.sh/topic slack:https://hooks.slack.com/services/T/B/X"
CUSTOMER_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture(scope="module")
def stack():
    return transform(read())


def function(stack, name="HeartbeatFunction"):
    return of_type(stack, "AWS::Lambda::Function")[name]


def settings(stack, name="HeartbeatFunction"):
    return function(stack, name)["Environment"]["Variables"]


def as_list(value):
    return value if isinstance(value, list) else [value]


# Permissions


def granted(stack, name="FunctionRole"):
    role = of_type(stack, "AWS::IAM::Role")[name]
    statements = single(role["Policies"])["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return {
        (action, json.dumps(resource))
        for statement in statements
        for action, resource in itertools.product(as_list(statement.get("Action", [])), as_list(statement["Resource"]))
    }


def on(resource, *actions):
    return {(action, json.dumps({"Fn::GetAtt": [resource, "Arn"]})) for action in actions}


def test_the_function_may_write_to_its_tables_and_its_log_read_a_key_and_nothing_else(stack):
    needed = on("ServersTable", "dynamodb:UpdateItem") | on("MetricsTable", "dynamodb:PutItem")
    needed |= on("KeysTable", "dynamodb:GetItem") | on("FunctionLog", "logs:CreateLogStream", "logs:PutLogEvents")
    assert needed - granted(stack) == set()
    assert granted(stack) - needed == set()


def test_the_watchdog_may_sweep_the_servers_publish_to_one_topic_log_and_nothing_else(stack):
    needed = on("ServersTable", "dynamodb:Scan", "dynamodb:UpdateItem")
    needed |= on("MetricsTable", "dynamodb:PutItem")
    needed |= {("sns:Publish", json.dumps({"Ref": "AlertTopic"}))}
    needed |= on("WatchdogLog", "logs:CreateLogStream", "logs:PutLogEvents")
    assert needed - granted(stack, "WatchdogRole") == set()
    assert granted(stack, "WatchdogRole") - needed == set()


def test_the_watchdog_may_write_no_row_of_a_server(stack):
    role = of_type(stack, "AWS::IAM::Role")["WatchdogRole"]
    statements = single(role["Policies"])["PolicyDocument"]["Statement"]
    conditions = [statement.get("Condition") for statement in statements if "dynamodb:PutItem" in statement["Action"]]
    # Untried on AWS.
    assert conditions == [{"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["#events"]}}]


def test_notify_may_keep_what_it_could_not_deliver_log_and_nothing_else(stack):
    needed = on("NotifyLog", "logs:CreateLogStream", "logs:PutLogEvents")
    needed |= on("UndeliveredQueue", "sqs:SendMessage")
    assert granted(stack, "NotifyRole") == needed


PAGE = {"PagePasswordSha256": "ab" * 32}


# C13.2
def test_the_page_may_read_two_tables_write_its_log_and_nothing_else(stack):
    needed = on("ServersTable", "dynamodb:Scan") | on("MetricsTable", "dynamodb:Query")
    needed |= on("PageLog", "logs:CreateLogStream", "logs:PutLogEvents")
    assert granted(stack, "PageRole") == needed
    assert function(stack, "PageFunction")["Role"] == {"Fn::GetAtt": ["PageRole", "Arn"]}


# C13.2 C1.2
def test_the_page_changes_nothing_of_the_heartbeats_api_and_its_alarms(stack):
    without, full = resolved(stack), resolved(stack, **PAGE)
    added = set(full["Resources"]) - set(without["Resources"])
    page = {"PageApi", "PageFunction", "PageFunctionRequestPermission", "PageLog", "PageRole"}
    (stage,) = added - page
    assert page <= added and full["Resources"][stage]["Type"] == "AWS::ApiGatewayV2::Stage"
    throttle = full["Resources"][stage]["Properties"]["DefaultRouteSettings"]
    assert throttle == {"ThrottlingRateLimit": 5, "ThrottlingBurstLimit": 5}
    assert settings(full, "WatchdogFunction").pop("PAGE_URL") == full["Outputs"]["PageUrl"]["Value"]
    assert {name: full["Resources"][name] for name in without["Resources"]} == without["Resources"]
    assert set(full["Outputs"]) - set(without["Outputs"]) == {"PageUrl", "PageLogName"}
    for alarm in of_type(full, "AWS::CloudWatch::Alarm").values():
        assert "Page" not in json.dumps(alarm)
    assert "ReservedConcurrentExecutions" not in function(full, "PageFunction")
    full = resolved(stack, WebhookUrls="json:https://example.com", **PAGE)
    assert settings(full, "NotifyFunction")["PAGE_URL"] == full["Outputs"]["PageUrl"]["Value"]
    reserved = resolved(stack, PageReservedConcurrency="2", **PAGE)
    assert function(reserved, "PageFunction")["ReservedConcurrentExecutions"] == {"Ref": "PageReservedConcurrency"}
    assert read()["Parameters"]["PagePasswordSha256"]["NoEcho"] is True


def test_the_schedule_may_invoke_the_watchdog_and_nothing_else(stack):
    assert granted(stack, "ScheduleRole") == on("WatchdogFunction", "lambda:InvokeFunction")
    schedule = single(of_type(stack, "AWS::Scheduler::Schedule").values())
    assert schedule["Target"]["RoleArn"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}
    # No schedule of another account can use it.
    trust = single(of_type(stack, "AWS::IAM::Role")["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"])
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_only_other_policy_is_for_a_customer_managed_key(stack):
    roles = of_type(stack, "AWS::IAM::Role")
    assert set(roles) == {"FunctionRole", "NotifyRole", "PageRole", "ScheduleRole", "WatchdogRole"}
    assert [name for name, role in roles.items() if "ManagedPolicyArns" in role] == []
    assert function(stack)["Role"] == {"Fn::GetAtt": ["FunctionRole", "Arn"]}
    assert function(stack, "WatchdogFunction")["Role"] == {"Fn::GetAtt": ["WatchdogRole", "Arn"]}
    assert function(stack, "NotifyFunction")["Role"] == {"Fn::GetAtt": ["NotifyRole", "Arn"]}
    assert set(of_type(stack, "AWS::IAM::Policy")) == {"KmsKeyPolicy"}
    assert not of_type(stack, "AWS::IAM::ManagedPolicy")


def test_each_role_trusts_only_its_service(stack):
    principals = {
        name: single(role["AssumeRolePolicyDocument"]["Statement"])["Principal"]["Service"]
        for name, role in of_type(stack, "AWS::IAM::Role").items()
    }
    assert {name: single(as_list(service)) for name, service in principals.items()} == {
        "FunctionRole": "lambda.amazonaws.com",
        "NotifyRole": "lambda.amazonaws.com",
        "PageRole": "lambda.amazonaws.com",
        "WatchdogRole": "lambda.amazonaws.com",
        "ScheduleRole": "scheduler.amazonaws.com",
    }


def test_only_the_route_and_the_topic_may_invoke_a_function(stack):
    permissions = of_type(stack, "AWS::Lambda::Permission")
    topic = permissions.pop("NotifyFunctionMessagePermission")
    assert (topic["Principal"], topic["SourceArn"]) == ("sns.amazonaws.com", {"Ref": "AlertTopic"})
    page = permissions.pop("PageFunctionRequestPermission")
    assert page["SourceArn"]["Fn::Sub"][1]["__ApiId__"] == {"Ref": "PageApi"}
    permission = single(permissions.values())
    arn, names = permission["SourceArn"]["Fn::Sub"]
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert arn.endswith("/POST/api/v1/agents/heartbeat")
    assert names["__ApiId__"] == {"Ref": "HeartbeatApi"}
    assert not of_type(stack, "AWS::Lambda::Url")


# Route


def test_the_only_route_is_the_one_that_the_function_answers(stack):
    # A test of the code compares openapi.json with it.
    (path,) = json.loads((ROOT / "openapi.json").read_text())["paths"]
    body = of_type(stack, "AWS::ApiGatewayV2::Api")["HeartbeatApi"]["Body"]
    assert {path: list(methods) for path, methods in body["paths"].items()} == {path: ["post"]}
    assert not of_type(stack, "AWS::ApiGatewayV2::Route")
    for output, own in (("HeartbeatUrl", "{Host}" + path), ("Example", "{Host}" + path)):
        assert stack["Outputs"][output]["Value"]["Fn::Sub"][0].endswith(own)
    address = json.dumps(resolved(stack)["Outputs"]["HeartbeatUrl"]["Value"]["Fn::Sub"][1])
    assert "${HeartbeatApi}.execute-api" in address


DOMAIN = {"DomainName": "heartbeat.example.com", "CertificateArn": "arn:aws:acm:us-east-1:1:certificate/1"}


def test_a_domain_name_of_its_own_is_an_address_that_stays(stack):
    plain, domain = resolved(stack), resolved(stack, **DOMAIN)
    recorded = resolved(stack, HostedZoneId="Z1", **DOMAIN)
    assert set(domain["Resources"]) - set(plain["Resources"]) == {"Domain", "DomainMapping"}
    assert set(recorded["Resources"]) - set(domain["Resources"]) == {"DomainRecord"}
    mapping = domain["Resources"]["DomainMapping"]["Properties"]
    (stage,) = of_type(plain, "AWS::ApiGatewayV2::Stage")
    assert mapping == {"DomainName": {"Ref": "Domain"}, "ApiId": {"Ref": "HeartbeatApi"}, "Stage": {"Ref": stage}}
    configuration = single(domain["Resources"]["Domain"]["Properties"]["DomainNameConfigurations"])
    assert configuration["CertificateArn"] == {"Ref": "CertificateArn"}
    (record,) = recorded["Resources"]["DomainRecord"]["Properties"]["RecordSets"]
    assert record["AliasTarget"]["DNSName"] == {"Fn::GetAtt": ["Domain", "RegionalDomainName"]}
    for output in ("HeartbeatUrl", "Example"):
        assert domain["Outputs"][output]["Value"]["Fn::Sub"][1] == {"Host": {"Ref": "DomainName"}}
    assert set(domain["Outputs"]) - set(plain["Outputs"]) == {"DomainTarget"}
    # CloudFormation rejects a name without a certificate.
    rule = stack["Rules"]["DomainNeedsCertificate"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DomainName"}, "none"]}]}


def test_the_stage_is_throttled(stack):
    stage = single(of_type(resolved(stack), "AWS::ApiGatewayV2::Stage").values())
    assert stage["StageName"] == "$default"
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottleRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottleBurst"},
    }


# Logs


def test_every_log_group_has_a_retention(stack):
    groups = of_type(stack, "AWS::Logs::LogGroup")
    assert len(groups) == 5
    assert [name for name, group in groups.items() if "RetentionInDays" not in group] == []


def test_the_access_log_has_the_caller_the_result_and_the_latency_but_no_header(stack):
    stage = single(of_type(resolved(stack), "AWS::ApiGatewayV2::Stage").values())
    log = stage["AccessLogSettings"]
    assert log["DestinationArn"] == {"Fn::GetAtt": ["AccessLogGroup", "Arn"]}
    # The message of an error comes as JSON, with its quotes.
    line = log["Format"].replace("$context.error.messageString", json.dumps('said "no"'))
    assert json.loads(line)["error"] == 'said "no"'
    values = set(json.loads(line).values())
    assert values >= {
        "$context.requestId",
        "$context.integration.requestId",
        "$context.identity.sourceIp",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationErrorMessage",
    }
    assert [value for value in values if "header" in value.lower() or "authorizer" in value] == []


def test_without_an_access_log_the_alarms_still_work(stack):
    without = resolved(stack, AccessLog="none")
    (stage,) = of_type(without, "AWS::ApiGatewayV2::Stage").values()
    assert "AccessLogSettings" not in stage
    assert set(resolved(stack)["Resources"]) - set(without["Resources"]) == {"AccessLogGroup"}


def test_each_function_logs_json_into_its_own_group_at_the_level_asked_for(stack):
    groups = {"HeartbeatFunction": "FunctionLog", "WatchdogFunction": "WatchdogLog", "NotifyFunction": "NotifyLog"}
    for name, group in groups.items():
        assert function(stack, name)["LoggingConfig"] == {
            "LogGroup": {"Ref": group},
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


def test_every_table_is_on_demand_and_without_an_index(stack):
    for name, table in of_type(resolved(stack), "AWS::DynamoDB::Table").items():
        assert "ProvisionedThroughput" not in table
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
        assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes"} & set(table), name


def test_provisioned_capacity_follows_the_load(stack):
    on_demand, provisioned = resolved(stack), resolved(stack, Capacity="provisioned")
    added = set(provisioned["Resources"]) - set(on_demand["Resources"])
    assert added == {
        f"{table}{kind}{what}"
        for table in ("Servers", "Metrics")
        for kind in ("Read", "Write")
        for what in ("Target", "Scaling")
    }
    tables = of_type(provisioned, "AWS::DynamoDB::Table")
    # A few lookups of keys are cheaper on demand.
    assert tables["KeysTable"]["BillingMode"] == "PAY_PER_REQUEST"
    for name in ("Servers", "Metrics"):
        table = tables[f"{name}Table"]
        assert table["BillingMode"] == "PROVISIONED"
        throughput = {f"{kind}CapacityUnits": {"Ref": f"{kind}CapacityMin"} for kind in ("Read", "Write")}
        assert table["ProvisionedThroughput"] == throughput
        for kind in ("Read", "Write"):
            target = provisioned["Resources"][f"{name}{kind}Target"]["Properties"]
            assert target["ResourceId"] == {"Fn::Sub": f"table/${{{name}Table}}"}
            assert target["ScalableDimension"] == f"dynamodb:table:{kind}CapacityUnits"
            assert (target["MinCapacity"], target["MaxCapacity"]) == (
                {"Ref": f"{kind}CapacityMin"},
                {"Ref": f"{kind}CapacityMax"},
            )
            policy = provisioned["Resources"][f"{name}{kind}Scaling"]["Properties"]
            assert policy["ScalingTargetId"] == {"Ref": f"{name}{kind}Target"}
            tracking = policy["TargetTrackingScalingPolicyConfiguration"]
            assert tracking["TargetValue"] == {"Ref": "TargetUtilization"}
            assert tracking["PredefinedMetricSpecification"] == {
                "PredefinedMetricType": f"DynamoDB{kind}CapacityUtilization"
            }
    # What the API lets through at most is less than what auto scaling may provide.
    defaults = {name: parameter["Default"] for name, parameter in stack["Parameters"].items()}
    assert defaults["ThrottleRate"] <= defaults["WriteCapacityMax"]
    assert (defaults["Capacity"], defaults["TargetUtilization"]) == ("on-demand", 70)


def test_servers_and_keys_can_be_restored_and_metrics_and_keys_expire(stack):
    tables = of_type(stack, "AWS::DynamoDB::Table")
    for name in ("ServersTable", "KeysTable"):
        assert tables[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name
    for name in ("MetricsTable", "KeysTable"):
        assert tables[name]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}, name
    assert "TimeToLiveSpecification" not in tables["ServersTable"]


@pytest.mark.parametrize(
    ("key", "specification"),
    [
        # DynamoDB's own key, which is free of charge.
        ("none", None),
        ("alias/aws/dynamodb", {"SSEEnabled": True, "SSEType": "KMS"}),
        (CUSTOMER_KEY, {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}),
    ],
)
def test_tables_are_encrypted_with_the_key_asked_for(stack, key, specification):
    assert re.fullmatch(stack["Parameters"]["KmsKeyArn"]["AllowedPattern"], key)
    assert stack["Parameters"]["KmsKeyArn"]["Default"] == "none"
    tables = of_type(resolved(stack, KmsKeyArn=key), "AWS::DynamoDB::Table")
    specifications = {name: table.get("SSESpecification") for name, table in tables.items()}
    assert specifications == dict.fromkeys(tables, specification)


def test_only_a_customer_managed_key_needs_a_policy(stack):
    for key in ("none", "alias/aws/dynamodb"):
        assert not of_type(resolved(stack, KmsKeyArn=key), "AWS::IAM::Policy")
    policy = single(of_type(resolved(stack, KmsKeyArn=CUSTOMER_KEY), "AWS::IAM::Policy").values())
    assert policy["Roles"] == [{"Ref": "FunctionRole"}, {"Ref": "WatchdogRole"}]
    statement = single(policy["PolicyDocument"]["Statement"])
    assert statement["Resource"] == {"Ref": "KmsKeyArn"}
    actions = ["Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey*", "ReEncrypt*"]
    assert statement["Action"] == [f"kms:{action}" for action in actions]
    # Only through DynamoDB.
    via = statement["Condition"]["StringLike"]["kms:ViaService"]
    assert via == {"Fn::Sub": "dynamodb.${AWS::Region}.amazonaws.com*"}


# Settings


def test_a_setting_that_is_left_out_is_not_set(stack):
    left_out = {"API_KEY_SHA256", "AWS_CA_BUNDLE", "PING_URL"}
    assert not left_out & set(settings(resolved(stack)))
    assert not left_out & set(settings(resolved(stack, ApiKeySha256="none")))
    given = settings(resolved(stack, ApiKeySha256="a" * 64, CaBundle="/etc/pki/tls/certs/ca-bundle.crt"))
    assert given["API_KEY_SHA256"] == {"Ref": "ApiKeySha256"}
    assert given["AWS_CA_BUNDLE"] == {"Ref": "CaBundle"}
    assert not left_out & set(settings(resolved(stack), "WatchdogFunction"))
    pinging = settings(resolved(stack, PingUrl="https://hc-ping.com/x"), "WatchdogFunction")
    assert pinging["PING_URL"] == {"Ref": "PingUrl"}
    assert "HOLD_SECONDS" not in settings(resolved(stack), "WatchdogFunction")
    assert settings(resolved(stack, HoldSeconds="0"), "WatchdogFunction")["HOLD_SECONDS"] == {"Ref": "HoldSeconds"}


def test_concurrency_is_reserved_only_on_request(stack):
    default = of_type(resolved(stack), "AWS::Lambda::Function")
    assert [name for name, function in default.items() if "ReservedConcurrentExecutions" in function] == []
    reserved = of_type(resolved(stack, ReservedConcurrency="50"), "AWS::Lambda::Function")
    assert {name: function["ReservedConcurrentExecutions"] for name, function in reserved.items()} == {
        "HeartbeatFunction": {"Ref": "ReservedConcurrency"},
        "WatchdogFunction": 1,
    }


# The watchdog


def test_a_sweep_starts_every_minute_with_its_scheduled_time(stack):
    schedule = single(of_type(stack, "AWS::Scheduler::Schedule").values())
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule.get("State", "ENABLED") == "ENABLED"
    # A fixed name would collide with another stack's.
    assert "Name" not in schedule
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": ["WatchdogFunction", "Arn"]}
    assert json.loads(schedule["Target"]["Input"]) == {"time": "<aws.scheduler.scheduled-time>"}


def test_sweeps_do_not_overlap_and_are_not_retried(stack):
    schedule = single(of_type(stack, "AWS::Scheduler::Schedule").values())
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    invocation = of_type(stack, "AWS::Lambda::EventInvokeConfig")["WatchdogFunctionEventInvokeConfig"]
    assert invocation["FunctionName"] == {"Ref": "WatchdogFunction"}
    assert (invocation["MaximumRetryAttempts"], invocation["MaximumEventAgeInSeconds"]) == (0, 60)
    assert 30 <= function(stack, "WatchdogFunction")["Timeout"] < 60
    assert function(stack, "WatchdogFunction")["MemorySize"] >= 256


def test_each_function_is_built_from_a_binary_of_its_own():
    resources = read()["Resources"].items()
    functions = {name: resource for name, resource in resources if resource["Type"] == "AWS::Serverless::Function"}
    assert {name: resource["Metadata"] for name, resource in functions.items()} == {
        "HeartbeatFunction": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "heartbeat"}},
        "NotifyFunction": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "notify"}},
        "PageFunction": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "page"}},
        "WatchdogFunction": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "watchdog"}},
    }


def test_0_seconds_leave_out_the_whole_watchdog(stack):
    full = resolved(stack, OfflineAfterSeconds="1", KmsKeyArn=CUSTOMER_KEY)
    without = resolved(stack, OfflineAfterSeconds="0", KmsKeyArn=CUSTOMER_KEY)
    assert set(full["Resources"]) - set(without["Resources"]) == {
        "ScheduleRole",
        "SweepAlarm",
        "WatchdogFunction",
        "WatchdogFunctionEventInvokeConfig",
        "WatchdogFunctionEveryMinute",
        "WatchdogLog",
        "WatchdogRole",
    }
    assert set(full["Outputs"]) - set(without["Outputs"]) == {"WatchdogLogName"}


# Chats and phones


def test_webhooks_add_a_function_behind_the_topic_and_nothing_else(stack):
    full = resolved(stack, WebhookUrls=WEBHOOKS)
    without = resolved(stack)
    assert set(full["Resources"]) - set(without["Resources"]) == {
        "NotifyAlarm",
        "NotifyFunction",
        "NotifyFunctionEventInvokeConfig",
        "NotifyFunctionMessage",
        "NotifyFunctionMessagePermission",
        "NotifyLog",
        "NotifyRole",
        "UndeliveredQueue",
    }
    added = {"NotifyFunctionName", "NotifyLogName", "UndeliveredQueueUrl"}
    assert set(full["Outputs"]) - set(without["Outputs"]) == added
    assert settings(full, "NotifyFunction") == {"WEBHOOK_URLS": {"Ref": "WebhookUrls"}}
    subscription = full["Resources"]["NotifyFunctionMessage"]["Properties"]
    assert subscription == {
        "Endpoint": {"Fn::GetAtt": ["NotifyFunction", "Arn"]},
        "Protocol": "lambda",
        "TopicArn": {"Ref": "AlertTopic"},
    }


def test_no_chat_gets_a_message_twice_because_lambda_repeats_it(stack):
    invocation = of_type(stack, "AWS::Lambda::EventInvokeConfig")["NotifyFunctionEventInvokeConfig"]
    assert invocation["FunctionName"] == {"Ref": "NotifyFunction"}
    assert invocation["MaximumRetryAttempts"] == 0
    assert function(stack, "NotifyFunction")["Timeout"] == 150


def test_what_could_not_be_delivered_is_kept_for_two_weeks_and_an_alarm_says_so(stack):
    invocation = of_type(stack, "AWS::Lambda::EventInvokeConfig")["NotifyFunctionEventInvokeConfig"]
    destination = invocation["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}
    queue = single(of_type(stack, "AWS::SQS::Queue").values())
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert queue["SqsManagedSseEnabled"] is True
    alarm = of_type(stack, "AWS::CloudWatch::Alarm")["NotifyAlarm"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["UndeliveredQueue", "QueueName"]}}]


def test_the_url_of_the_ping_is_secret_and_checked(stack):
    parameter = stack["Parameters"]["PingUrl"]
    assert (parameter["NoEcho"], parameter["Default"]) == (True, "none")
    assert "PingUrl" not in json.dumps(stack["Outputs"])
    for url, accepted in (("none", True), ("https://hc-ping.com/x", True), ("http://hc-ping.com/x", False), ("", False)):
        assert bool(re.fullmatch(parameter["AllowedPattern"], url)) == accepted, url


def test_the_urls_of_webhooks_are_secret_and_checked(stack):
    parameter = stack["Parameters"]["WebhookUrls"]
    assert parameter["NoEcho"] is True
    assert "WebhookUrls" not in json.dumps(stack["Outputs"])
    for urls, accepted in (
        ("none", True),
        (WEBHOOKS, True),
        ("", False),
        ("https://ntfy.sh/topic", False),
        ("slack:http://hooks.slack.com/x", False),
        ("pager:https://example.com/x", False),
        (f"{WEBHOOKS} ", False),
    ):
        assert bool(re.fullmatch(parameter["AllowedPattern"], urls)) == accepted, urls


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


@pytest.mark.parametrize("monitoring", ["alarms", "none"])
@pytest.mark.parametrize("seconds", ["0", "180"])
@pytest.mark.parametrize("key", ["none", "alias/aws/dynamodb", CUSTOMER_KEY])
def test_nothing_refers_to_what_is_left_out(stack, monitoring, seconds, key):
    for email, webhooks in (("none", WEBHOOKS), ("ops@example.com", "none")):
        given = {"Monitoring": monitoring, "OfflineAfterSeconds": seconds, "KmsKeyArn": key}
        if webhooks == "none":
            given |= {"AccessLog": "none", "Capacity": "provisioned", "HostedZoneId": "Z1", **DOMAIN}
        whole = resolved(stack, AlarmEmail=email, WebhookUrls=webhooks, **given)
        present = set(whole["Resources"]) | set(whole["Parameters"])
        named = set(references([whole["Resources"], whole["Outputs"]]))
        assert {name for name in named if not name.startswith("AWS::")} <= present


def test_the_alarms_can_be_left_out(stack):
    assert set(of_type(resolved(stack, WebhookUrls=WEBHOOKS), "AWS::CloudWatch::Alarm")) == ALARMS
    assert not of_type(resolved(stack, WebhookUrls=WEBHOOKS, Monitoring="none"), "AWS::CloudWatch::Alarm")


def test_the_topic_always_exists_and_mail_needs_an_address(stack):
    for parameters in ({}, {"AlarmEmail": "none"}, {"Monitoring": "none", "OfflineAfterSeconds": "0"}):
        bare = resolved(stack, **parameters)
        assert "AlertTopic" in bare["Resources"]
        assert not of_type(bare, "AWS::SNS::Subscription")
        assert bare["Outputs"]["AlertTopicArn"]["Value"] == {"Ref": "AlertTopic"}
    mail = single(of_type(resolved(stack, AlarmEmail="ops@example.com"), "AWS::SNS::Subscription").values())
    assert mail == {"TopicArn": {"Ref": "AlertTopic"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}


# Alarms


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
    delivery = of_type(stack, "AWS::CloudWatch::Alarm")["DeliveryAlarm"]
    assert delivery["Dimensions"] == [{"Name": "TopicName", "Value": {"Fn::GetAtt": ["AlertTopic", "TopicName"]}}]


def test_alarms_on_tables_measure_operations_that_the_function_may_call(stack):
    for name, alarm in of_type(stack, "AWS::CloudWatch::Alarm").items():
        for metric in metrics_of(alarm):
            if metric["Namespace"] == "AWS/DynamoDB":
                table, operation = (dimension["Value"] for dimension in metric["Dimensions"])
                arn = json.dumps({"Fn::GetAtt": [table["Ref"], "Arn"]})
                assert (f"dynamodb:{operation}", arn) in granted(stack), name


def test_each_calculated_alarm_returns_only_its_result(stack):
    for name, alarm in of_type(stack, "AWS::CloudWatch::Alarm").items():
        if "Metrics" in alarm:
            returned = [metric for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
            assert "Expression" in single(returned), name


def test_each_alarm_has_its_expression_period_and_threshold(stack):
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    expected = {
        # A percentage, sums and a latency. Alarms with 1-minute periods need 3 of 5.
        "RejectionAlarm": ("100 * rejected / answered", 60, 25),
        "ServerErrorAlarm": ("100 * failed / answered", 60, 1),
        "WriteThrottleAlarm": ("FILL(servers, 0) + FILL(metrics, 0)", 60, 1),
        "FunctionErrorAlarm": (None, 300, 1),
        "FunctionThrottleAlarm": (None, 300, 1),
        "DeliveryAlarm": (None, 300, 1),
        "NotifyAlarm": (None, 300, 1),
        "LatencyAlarm": (None, 60, 4000),
    }
    for name, (expression, period, threshold) in expected.items():
        alarm = alarms[name]
        metrics = alarm.get("Metrics", [])
        assert [metric["Expression"] for metric in metrics if "Expression" in metric] == as_list(expression or []), name
        stats = [metric["MetricStat"] for metric in metrics if "MetricStat" in metric] or [alarm]
        assert {stat["Period"] for stat in stats} == {period}, name
        statistics = {stat.get("Stat", stat.get("Statistic", stat.get("ExtendedStatistic"))) for stat in stats}
        assert statistics <= {"Maximum", "Sum", "p99"}, name
        periods = (alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))
        assert periods == ((1, 1) if period == 300 else (5, 3)), name
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", threshold), name


def test_each_alarm_is_described_and_notifies_the_topic(stack):
    for name, alarm in of_type(stack, "AWS::CloudWatch::Alarm").items():
        assert len(alarm["AlarmDescription"]) > 100, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlertTopic"}], name


def test_only_the_silence_of_the_fleet_or_the_watchdog_is_an_alarm_without_data(stack):
    alarms = of_type(stack, "AWS::CloudWatch::Alarm")
    for name in ("SilenceAlarm", "SweepAlarm"):
        silence = alarms.pop(name)
        assert {metric["MetricStat"]["Period"] for metric in silence["Metrics"] if "MetricStat" in metric} == {60}
        # A sweep that fails now and then is late news already.
        assert silence.get("DatapointsToAlarm", 5) == (3 if name == "SweepAlarm" else 5)
        assert (silence["EvaluationPeriods"], silence["Threshold"]) == (5, 1)
        assert silence["ComparisonOperator"] == "LessThanThreshold"
        assert silence["TreatMissingData"] == "breaching"
        # Nobody is mailed before the first agents and sweeps are there.
        assert silence["WarmUpConfiguration"] == {"WarmUpPeriodDurationInMinutes": 15}
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_rejected_heartbeats_and_failed_sweeps_do_not_end_a_silence(stack):
    def succeeded(name):
        (expression, *metrics) = of_type(stack, "AWS::CloudWatch::Alarm")[name]["Metrics"]
        text = expression["Expression"]
        for metric in metrics:
            text = text.replace(f"FILL({metric['Id']}, 0)", metric["MetricStat"]["Metric"]["MetricName"])
        return text

    assert succeeded("SilenceAlarm") == "Count - 4xx - 5xx"
    assert succeeded("SweepAlarm") == "Invocations - Errors"


# Parameters


def test_every_parameter_is_used_and_described(stack):
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
        ("none", True),
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


@pytest.mark.parametrize(
    ("name", "accepted", "rejected"),
    [
        ("MetricsRetentionDays", ["1", "30", "3650"], ["0", "1.5", "-1", "ten", "", "030"]),
        ("ThrottleBurst", ["1", "1000"], ["0", "1.5", "-1", ""]),
        ("OfflineAfterSeconds", ["0", "180"], ["1.5", "-1", "", "00", "none"]),
        ("HoldSeconds", ["auto", "0", "600"], ["1.5", "-1", "", "none"]),
        ("BackAfterSeconds", ["0", "300"], ["1.5", "-1", "", "none"]),
        (
            "Limits",
            [
                "none",
                "disk_percent=90",
                "disk_percent=90,load_5m=1.5",
                "cpu_percent=90/10m,load_5m=8/2h",
                "disk_percent:/backup=97,disk_percent:/iso=off,disk_percent:/var/lib=95/1h",
                "service=off",
                "service:fwupd-refresh=off,duplicate=off",
            ],
            ["", "disk_percent", "disk_percent=off", "service=on", "duplicate=on", "cpu_percent=90/10", "service=off,"],
        ),
        (
            "DigestAt",
            ["none", "00:00", "23:59", "07:30/always"],
            ["", "24:00", "7:00", "07:60", "07:30/", "none/always"],
        ),
        ("ReservedConcurrency", ["none", "1", "500"], ["0", "1.5", "-1", ""]),
    ],
)
def test_numeric_parameters_accept_only_whole_numbers(stack, name, accepted, rejected):
    parameter = stack["Parameters"][name]
    assert parameter["Type"] == "String"
    assert parameter["Default"] in accepted
    assert [value for value in accepted if not re.fullmatch(parameter["AllowedPattern"], value)] == []
    assert [value for value in rejected if re.fullmatch(parameter["AllowedPattern"], value)] == []


@pytest.mark.parametrize(
    ("name", "accepted", "rejected"),
    [
        ("AlarmEmail", ["", "none", "ops@example.com"], ["nobody", "a b@example.com", "@"]),
        ("WebhookUrls", ["none", WEBHOOKS], ["", "ntfy"]),
        ("CaBundle", ["none", "/opt/roots.pem"], ["", "roots.pem", "/"]),
    ],
)
def test_optional_parameters_can_be_emptied_again(stack, name, accepted, rejected):
    parameter = stack["Parameters"][name]
    assert "none" in accepted and parameter["Default"] in accepted
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
    assert len("WEBHOOK_URLS") + stack["Parameters"]["WebhookUrls"]["MaxLength"] <= 4096
    # Names of tables, an ARN, numbers and a path: less than 1,500.
    assert sum(stack["Parameters"][name]["MaxLength"] for name in ("Limits", "PingUrl")) <= 4096 - 1500
