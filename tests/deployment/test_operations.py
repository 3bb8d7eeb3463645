"""Runs the commands of docs/*.md and of the README's section on deployment as they are written."""

import hashlib
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from conftest import STACK
from function import WATCHDOG, running
from shell import run
from local import DEBUG, ROOT
from stack import of_type, read, resolved, transform

README = (ROOT / "README.md").read_text()
OPERATIONS = "".join((ROOT / f"docs/{page}.md").read_text() for page in ("deploy", "run", "recover", "cost"))
BLOCKS = re.compile(r"```sh\n(.+?)```", re.DOTALL)
COMMANDS = BLOCKS.findall(OPERATIONS)


def command(start):
    """The block that starts with these words, after the mark † of commands that need an account."""
    (found,) = (command for command in COMMANDS if command.removeprefix("# †\n").startswith(start))
    return found


def seconds_ago(seconds):
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


def test_the_names_of_the_tables_are_read_from_the_stack(aws, deployed):
    shell = command("output()") + 'echo "$SERVERS_TABLE $METRICS_TABLE $KEYS_TABLE"'
    names = run(shell, AWS_ENDPOINT_URL=aws("cloudformation").meta.endpoint_url).split()
    assert names == [deployed[name] for name in ("ServersTable", "MetricsTable", "KeysTable")]


# Offline servers


@pytest.fixture
def server(aws, dynamodb, deployed):
    """Runs a command on a servers table that holds web-1; returns the item of a server afterwards."""
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    table = deployed["ServersTable"]
    client.put_item(TableName=table, Item={"server_id": {"S": "web-1"}, "status": {"S": "online"}})

    def run_and_read(shell, server_id="web-1"):
        run(
            f"PATH={DEBUG}:$PATH; {shell}",
            AWS_ENDPOINT_URL=aws("cloudformation").meta.endpoint_url,
            AWS_ENDPOINT_URL_DYNAMODB=dynamodb,
            HEARTBEAT_STACK=STACK,
            SERVERS_TABLE=table,
        )
        return client.get_item(TableName=table, Key={"server_id": {"S": server_id}}).get("Item")

    yield run_and_read
    client.delete_item(TableName=table, Key={"server_id": {"S": "web-1"}})


def with_words(*words):
    """The only block that contains all of these words."""
    (found,) = (command for command in COMMANDS if all(word in command for word in words))
    return found


def test_the_fleet_and_a_history_are_shown(server):
    assert server(with_words("heartbeatctl fleet", "heartbeatctl history"))["status"] == {"S": "online"}


def test_a_server_is_silenced_and_unsilenced(server):
    silence, unsilence, every, none, *_ = with_words("heartbeatctl silence web-1").splitlines()
    until = datetime.fromisoformat(server(silence)["silenced_until"]["S"].replace("Z", "+00:00"))
    assert timedelta(hours=1.9) < until - datetime.now(timezone.utc) <= timedelta(hours=2)
    assert "silenced_until" not in server(unsilence)
    assert server(every)["quiet"]["S"] == "Sun 02:00-04:00;Mon-Fri 22:00-06:00"
    assert "quiet" not in server(none)


def test_a_server_is_retired(server):
    server(with_words("keys add web-1").splitlines()[1])
    assert server(with_words("heartbeatctl retire web-1 --yes")) is None


def test_the_server_of_the_end_to_end_test_goes_offline(server, aws, watchdog_settings, dynamodb, deployed):
    # Sweeps have been running: the first one judges nobody.
    own = {"server_id": {"S": "#watchdog"}, "swept_at": {"S": seconds_ago(60)}}
    boto3.client("dynamodb", endpoint_url=dynamodb).put_item(TableName=deployed["ServersTable"], Item=own)
    assert server(with_words("put-item", "test-alert"), "test-alert")["status"] == {"S": "online"}
    endpoints = {"AWS_ENDPOINT_URL_SNS": aws("sns").meta.endpoint_url}
    with running(watchdog_settings | endpoints | {"HOLD_SECONDS": "0"}, dynamodb, program=WATCHDOG) as function:
        function.invoke({})
    assert "test-alert" in [line.get("server_id") for line in function.log]
    assert server(with_words("delete-item", "test-alert"), "test-alert") is None


def test_a_queue_gets_the_test_alert(aws, deployed):
    endpoint = aws("sqs").meta.endpoint_url
    environment = {"AWS_ENDPOINT_URL": endpoint, "ALERT_TOPIC": deployed["AlertTopic"]}
    # For SQS, version 1 of the AWS CLI takes the endpoint from the command line only.
    run('aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }; ' + with_words("create-queue"), **environment)
    url = aws("sqs").get_queue_url(QueueName="heartbeat-alerts")["QueueUrl"]
    attributes = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    policy = json.loads(attributes["Policy"])
    assert policy["Statement"][0]["Condition"] == {"ArnEquals": {"aws:SourceArn": deployed["AlertTopic"]}}
    here = {"ALERT_TOPIC_ARN": deployed["AlertTopic"], "AWS_REGION": "us-east-1"}
    assert "heartbeat-alerts" in run(f"PATH={DEBUG}:$PATH; {command('heartbeatctl notify')}", **environment, **here)
    (message,) = aws("sqs").receive_message(QueueUrl=url)["Messages"]
    assert "test" in json.loads(json.loads(message["Body"])["Message"])


# Backup and restore, on tables of the test's own


def create(client, name, pattern):
    """Creates an empty table with the keys of a table of the template, the pattern."""
    properties = of_type(read(), "AWS::DynamoDB::Table")[pattern]
    wanted = {key: properties[key] for key in ("AttributeDefinitions", "KeySchema")}
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **wanted)


@pytest.fixture
def tables(dynamodb):
    """Creates empty tables like one of the template; deletes those that are left at the end."""
    client = boto3.client("dynamodb", endpoint_url=dynamodb)
    names = []

    def make(pattern, *wanted):
        names.extend(wanted)
        for name in wanted:
            create(client, name, pattern)
        return client

    yield make
    for name in set(names) & set(client.list_tables()["TableNames"]):
        client.update_table(TableName=name, DeletionProtectionEnabled=False)
        client.delete_table(TableName=name)


def copy_back(dynamodb, what):
    """Runs the commands that show and copy items from the table `restored` to the table `in-use`; returns what is shown."""
    names = {"SERVERS_TABLE": "in-use", "KEYS_TABLE": "in-use", "RESTORED": "restored"}
    shown, _ = (
        run(block.replace("restore servers", f"restore {what}"), AWS_ENDPOINT_URL_DYNAMODB=dynamodb, **names)
        for block in COMMANDS
        if block.startswith("heartbeatctl restore")
    )
    return shown


def test_lost_items_are_copied_back_and_newer_values_stay(tables, dynamodb):
    client = tables("ServersTable", "in-use", "restored")

    def item(**attributes):
        return {name: {"S": value} for name, value in attributes.items()}

    old = item(registered_at="2026-01", registration_id="first", last_seen="2026-02", status="online", rack="a7")
    for number in range(150):
        client.put_item(TableName="restored", Item=old | item(server_id=f"web-{number}"))
    absent = item(server_id="absent", registered_at="2026-01", last_seen="2026-02")
    offline = item(status="offline", offline_since="2026-02", announced="2026-02")
    client.put_item(TableName="restored", Item=absent | offline)
    # This item has nothing that could be copied.
    client.put_item(TableName="restored", Item=item(server_id="bare"))
    newer = item(registered_at="2026-03", registration_id="second", last_seen="2026-04", status="offline", rack="b1")
    newer |= item(server_id="web-1")
    client.put_item(TableName="in-use", Item=newer)
    client.put_item(TableName="in-use", Item=item(server_id="new", registered_at="2026-03"))
    shown = copy_back(dynamodb, "servers")
    assert len(shown.splitlines()) == 152 and "bare" not in shown, shown
    servers = {server["server_id"]["S"]: server for server in client.scan(TableName="in-use")["Items"]}
    assert len(servers) == 152
    assert servers["web-1"] == newer | item(registered_at="2026-01", registration_id="first")
    assert servers["web-2"] == old | item(server_id="web-2")
    assert servers["absent"] == absent | item(status="online")
    assert servers["new"] == item(server_id="new", registered_at="2026-03")


def test_a_key_is_copied_back(tables, dynamodb):
    client = tables("KeysTable", "in-use", "restored")
    key = {"key_sha256": {"S": "a" * 64}, "server_id": {"S": "web-1"}, "expires_at": {"N": "1800000000"}}
    client.put_item(TableName="restored", Item=key)
    assert f"{'a' * 12} (web-1)" in copy_back(dynamodb, "keys")
    assert client.scan(TableName="in-use")["Items"] == [key]


def test_a_table_is_restored_beside_the_one_in_use_and_deleted(aws, deployed):
    endpoint = {"AWS_ENDPOINT_URL_DYNAMODB": aws("dynamodb").meta.endpoint_url}
    restored = {"TABLE": "unused", "RESTORED": "heartbeat-restored"} | endpoint
    run(command("export TABLE=$SERVERS_TABLE"), SERVERS_TABLE=deployed["ServersTable"], **endpoint)
    assert "heartbeat-restored" in aws("dynamodb").list_tables()["TableNames"]
    run(command('aws dynamodb delete-table --table-name "$RESTORED"'), **restored)
    assert "heartbeat-restored" not in aws("dynamodb").list_tables()["TableNames"]


def test_a_deleted_table_is_restored_under_its_name(aws):
    client = aws("dynamodb")
    create(client, "gone", "ServersTable")
    client.create_backup(TableName="gone", BackupName="older")
    client.put_item(TableName="gone", Item={"server_id": {"S": "web-1"}})
    client.create_backup(TableName="gone", BackupName="newer")
    client.delete_table(TableName="gone")
    run(command("backup=$(aws dynamodb list-backups"), AWS_ENDPOINT_URL_DYNAMODB=client.meta.endpoint_url, TABLE="gone")
    assert client.scan(TableName="gone")["Items"] == [{"server_id": {"S": "web-1"}}]
    client.delete_table(TableName="gone")


def test_the_settings_that_a_restore_loses_are_set_again(aws, deployed):
    client = aws("dynamodb")
    create(client, "lost", "KeysTable")
    shell = command('aws dynamodb update-table --table-name "$TABLE" --deletion')
    run(shell, AWS_ENDPOINT_URL_DYNAMODB=client.meta.endpoint_url, TABLE="lost")
    assert client.describe_table(TableName="lost")["Table"]["DeletionProtectionEnabled"]
    recovery = client.describe_continuous_backups(TableName="lost")["ContinuousBackupsDescription"]
    assert recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    expiry = client.describe_time_to_live(TableName="lost")["TimeToLiveDescription"]
    specification = of_type(read(), "AWS::DynamoDB::Table")["KeysTable"]["TimeToLiveSpecification"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": specification["AttributeName"]}


# Tear down


def test_tables_with_deletion_protection_are_deleted_one_after_another(tables, dynamodb):
    client = tables("ServersTable", "one", "two")
    for name in ("one", "two"):
        client.update_table(TableName=name, DeletionProtectionEnabled=True)
    run(command("for table in $tables"), AWS_ENDPOINT_URL_DYNAMODB=dynamodb, tables="one two")
    assert not {"one", "two"} & set(client.list_tables()["TableNames"])


def test_the_names_of_the_tables_are_read_before_the_stack_is_deleted(aws, deployed):
    read_names = command('tables="$(output')
    assert OPERATIONS.index(read_names) < OPERATIONS.rindex("aws cloudformation delete-stack")
    shell = command("output()").splitlines()[1] + "\n" + read_names
    names = run(shell, AWS_ENDPOINT_URL=aws("cloudformation").meta.endpoint_url).split()
    assert sorted(names) == sorted(deployed[name] for name in of_type(read(), "AWS::DynamoDB::Table"))


def test_waiting_for_a_restore_ends_when_every_call_fails():
    """Expired credentials make each wait fail at once."""
    blocks = [block for block in COMMANDS if "wait table-exists" in block and "restore-table" in block]
    aws = "aws() { [[ $2 != wait ]]; }; TABLE=t RESTORED=r SERVERS_TABLE=s; "
    ended = [subprocess.run(["bash", "-uc", aws + block], timeout=30).returncode for block in blocks]
    assert ended == [1, 1]


def test_the_protection_is_switched_off_before_the_stack_is_deleted():
    shell = command("# † everything but the three tables")
    log = 'aws() { echo "$2"; [[ $2 != delete-stack ]]; }; '
    called = subprocess.run(["bash", "-c", log + shell], capture_output=True, text=True).stdout.split()
    assert called == ["update-termination-protection", "delete-stack"]


def test_the_tables_that_a_deleted_stack_left_behind_are_found(aws, deployed):
    left = run(command("aws dynamodb list-tables"), AWS_ENDPOINT_URL_DYNAMODB=aws("dynamodb").meta.endpoint_url).split()
    assert sorted(left) == sorted(deployed[name] for name in of_type(read(), "AWS::DynamoDB::Table"))


def test_a_rolled_back_stack_still_names_its_tables(aws, deployed):
    # Only the commands before the deletion.
    shell = command("tables=$(aws").split("aws cloudformation delete-stack")[0] + 'echo "$tables"'
    names = run(shell, AWS_ENDPOINT_URL=aws("cloudformation").meta.endpoint_url).split()
    assert sorted(names) == sorted(deployed[name] for name in of_type(read(), "AWS::DynamoDB::Table"))


# Keys


def test_keys_are_created_shared_rotated_and_revoked(server, settings, dynamodb, deployed):
    server(with_words("keys add web-1"))
    keys = boto3.client("dynamodb", endpoint_url=dynamodb).scan(TableName=deployed["KeysTable"])["Items"]
    assert [key["label"]["S"] for key in keys if "server_id" not in key] == ["all agents"]
    assert not [key for key in keys if key.get("server_id") == {"S": "web-1"} and "expires_at" not in key]


# Deploy


def test_make_key_prints_a_new_key_and_its_digest():
    first, second = (run("make --silent --no-print-directory key").split() for _ in range(2))
    assert first[::2] == ["key", "digest"] and first[1] != second[1]
    assert re.fullmatch(r"[0-9a-f]{64}", first[1])
    assert hashlib.sha256(first[1].encode()).hexdigest() == first[3]


def test_every_parameter_and_every_alarm_is_explained():
    template = read()
    names = [*template["Parameters"], *of_type(template, "AWS::CloudWatch::Alarm")]
    assert [name for name in names if f"`{name}`" not in OPERATIONS] == []
    assert [name for name in re.findall(r"\$\(output (\w+)\)", OPERATIONS) if name not in template["Outputs"]] == []


def test_every_default_in_the_table_matches_the_template():
    section = OPERATIONS.split("## Keys")[0].split("## Parameters")[1]
    parameters = read()["Parameters"]
    for names, defaults in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \|", section, re.MULTILINE):
        expected = [str(parameters[name]["Default"]) or "empty" for name in re.findall(r"`(\w+)`", names)]
        assert re.findall(r"[^`, ]+", defaults) == expected, names


def test_the_table_of_parameters_is_what_the_template_says():
    subprocess.run([sys.executable, "crates/dev/parameters.py", "--check"], cwd=ROOT, check=True)


def test_the_ceiling_of_a_flood_is_that_of_requests_at_their_greatest():
    *_, floods, _, _ = re.findall(r"(?:^\|.*\n)+", OPERATIONS.split("# Cost")[1], re.MULTILINE)
    stranger, holder, *usual, url_stranger, url_holder = map(amounts, floods.splitlines()[2:])
    assert url_stranger < stranger and url_stranger < url_holder
    # Whoever has a key can leave it out; what agents send costs less.
    assert all(more >= less for more, less in zip(holder, stranger))
    assert len(usual) == 2 and all(least < most / 2 for row in usual for least, most in zip(row, stranger))
    ceilings = ["{:,.2f}".format(holder[0]), "{:,.0f}".format(holder[2])]
    deploy, security = (ROOT / "docs/deploy.md").read_text(), (ROOT / "SECURITY.md").read_text()
    assert "${} a month at 1, ${} at 200".format(*ceilings) in deploy
    assert f"it costs at most ${ceilings[1]}:" in OPERATIONS
    worst = {row.split("|")[1].strip(): row for row in security.splitlines() if row.startswith("| a")}
    assert all(worst[f"a {kind} key"].endswith(f"| ${ceilings[1]} |") for kind in ("bound", "shared"))


def amounts(row):
    return [float(cell.strip(" *").replace(",", "")) for cell in row.strip("|\n").split("|")[-3:]]


def test_the_cost_page_is_what_the_prices_give_and_adds_up():
    subprocess.run([sys.executable, "crates/dev/cost.py", "--check"], cwd=ROOT, check=True)
    parts, totals, largest, _, fronts, _ = re.findall(r"(?:^\|.*\n)+", OPERATIONS.split("# Cost")[1], re.MULTILINE)
    *rows, together = parts.splitlines()[2:]
    for column in range(3):
        added = sum(amounts(row)[column] for row in rows)
        assert added == pytest.approx(amounts(together)[column], abs=0.06 if column < 2 else 3)
    first, *others = totals.splitlines()[2:]
    assert amounts(first) == amounts(together) and len(others) == 3
    # Each total differs from the first by the lines that its settings change.
    on_demand, access_log = amounts(rows[0]), amounts(rows[4])
    for difference, without in zip(access_log, (amounts(first)[c] - amounts(others[0])[c] for c in range(3))):
        assert without == pytest.approx(difference, abs=1)
    assert amounts(others[1])[2] < amounts(first)[2] - on_demand[2] / 2
    # A URL saves what the API's requests cost.
    api, url, *_ = map(amounts, fronts.splitlines()[2:])
    assert [each - less for each, less in zip(api, url)] == pytest.approx(amounts(rows[1]), abs=1)
    for scale, row in zip((10, 1_000, 100_000), largest.splitlines()[2:]):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0] == f"{scale:,}" and re.search(r"`\w+=[\w-]+`", cells[2]), row
    ten = re.search(r"Ten servers cost about \$(\S+) per month", OPERATIONS)[1]
    assert float(ten) == amounts(together)[0]
    assert f"about ${float(ten):.1f}0 per month" in README
    metrics = [
        metric
        for alarm in of_type(resolved(transform(read())), "AWS::CloudWatch::Alarm").values()
        for metric in alarm.get("Metrics", [{"MetricStat": alarm}])
        if "MetricStat" in metric
    ]
    assert f"alarms on {len(metrics)} metrics × 0.10" in parts


def test_the_prerequisites_are_listed():
    needed = OPERATIONS.split("# Deploy")[1].split("```")[0]
    table = (ROOT / ".ci/install").read_text().split("cat <<'END'\n")[1].split("\nEND")[0]
    for programs in {line.split()[0] for line in table.splitlines()} - {"cargo", "venv"}:
        assert any(f"`{program}`" in needed for program in programs.split(",")), programs
    for name in ("Rust", "Python", "pip", "venv", "AWS CLI version 2", "`make`"):
        assert name in needed, name


def test_no_command_needs_a_tool_that_only_make_installs():
    tools = ("sam", "cfn-lint", "cargo-lambda", "cargo lambda", "pytest")
    for block in COMMANDS:
        assert [tool for tool in tools if re.search(rf"^\s*{tool} ", block, re.MULTILINE)] == [], block


def test_the_readme_shows_the_way_from_a_clone_to_the_page_and_links_to_operations():
    assert "(docs/deploy.md)" in README.split("## Deploy")[1].split("\n## ")[0]
    typed = [line.split(" HOST=")[0] for line in BLOCKS.findall(README)[0].splitlines()]
    assert typed == ["EMAIL=me@example.org PHONE=ntfy PAGE=on make deploy", "make enroll", "make open"]


def test_the_readme_can_be_typed_into_zsh():
    """There, a comment after a command is an argument, and one on a line of its own must have no quote."""
    for line in "".join(BLOCKS.findall(README)).splitlines():
        assert not re.search(r"\S\s+# ", line), line
        assert not (line.startswith("#") and set(line) & set("'\"`;()*?")), line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_parsed(command):
    subprocess.run(["bash", "-n"], input=command, check=True, text=True)
