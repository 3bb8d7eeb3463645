"""heartbeatctl on a stack in moto, run from the command line. It finds the tables in the stack's outputs."""

import hashlib
import json
import subprocess
from urllib.parse import parse_qsl

import boto3
import pytest
from conftest import STACK
from function import Handler, serving
from local import DEBUG


@pytest.fixture(scope="module")
def ctl(aws, deployed):
    """Runs heartbeatctl with `--stack`, against moto only."""
    environment = {
        "AWS_ENDPOINT_URL": aws("dynamodb").meta.endpoint_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }

    def run(*arguments, stack=STACK):
        command = [DEBUG / "heartbeatctl", "--stack", stack, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


@pytest.fixture(scope="module")
def tables(aws, deployed):
    def table(logical_id):
        return boto3.resource("dynamodb", endpoint_url=aws("dynamodb").meta.endpoint_url).Table(deployed[logical_id])

    return table


def test_a_key_is_added_listed_rotated_and_revoked(ctl, tables):
    added = ctl("keys", "add", "web-1", "--label", "first")
    assert added.returncode == 0, added
    (item,) = tables("KeysTable").scan()["Items"]
    assert item["key_sha256"] == hashlib.sha256(added.stdout.strip().encode()).hexdigest()
    assert (item["server_id"], item["label"]) == ("web-1", "first")

    (listed,) = json.loads(ctl("keys", "list", "--json").stdout)
    assert listed["key_sha256"] == item["key_sha256"]
    assert ctl("keys", "rotate", "web-1").returncode == 0
    expiries = sorted(str(item.get("expires_at", "never")) for item in tables("KeysTable").scan()["Items"])
    assert len(expiries) == 2 and expiries[1] == "never", expiries
    assert ctl("keys", "revoke", "web-1", "--yes").returncode == 0
    assert tables("KeysTable").scan()["Items"] == []
    assert ctl("keys", "revoke", "web-1", "--yes").returncode == 1


def test_a_server_is_shown_silenced_and_forgotten(ctl, tables):
    seen = "2026-01-18T10:30:00.000000Z"
    server = {"server_id": "web-1", "status": "offline", "last_seen": seen, "offline_since": seen}
    tables("ServersTable").put_item(Item=server)
    (shown,) = json.loads(ctl("fleet", "--json").stdout)
    assert (shown["server_id"], shown["status"]) == ("web-1", "offline")
    assert ctl("silence", "web-1", "2h").returncode == 0
    assert "silenced_until" in tables("ServersTable").scan()["Items"][0]
    assert ctl("forget", "web-1", "--yes").returncode == 0
    assert ctl("forget", "web-1", "--yes").returncode == 1
    assert tables("ServersTable").scan()["Items"] == []


def test_a_missing_stack_is_named(ctl):
    missing = ctl("keys", "list", stack="nowhere")
    assert missing.returncode == 1 and missing.stderr.startswith("error: the stack nowhere cannot be read"), missing


def test_a_test_message_shows_who_gets_it(ctl):
    published = []
    pages = {
        "": ("arn:aws:sns:us-east-1:1:alerts:1", "next", "sqs"),
        "next": ("PendingConfirmation", "last", "email"),
        "last": ("Deleted", "", "lambda"),
    }

    class Sns(Handler):
        def do_POST(self):
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            if form["Action"] == "Publish":
                published.append(form)
                content = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
            elif form["Action"] == "GetSubscriptionAttributes":
                policy = json.dumps({"groups": ["db", "cache"], "kinds": ["offline"]})
                content = f"<entry><key>FilterPolicy</key><value>{policy}</value></entry>"
                content = f"<GetSubscriptionAttributesResult><Attributes>{content}</Attributes></GetSubscriptionAttributesResult>"
                content = f"<GetSubscriptionAttributesResponse>{content}</GetSubscriptionAttributesResponse>"
            else:
                arn, following, protocol = pages[form.get("NextToken", "")]
                member = f"<Protocol>{protocol}</Protocol><Endpoint>{protocol}-1</Endpoint>"
                member = f"<member>{member}<SubscriptionArn>{arn}</SubscriptionArn></member>"
                token = f"<NextToken>{following}</NextToken>" if following else ""
                content = f"<Subscriptions>{member}</Subscriptions>{token}"
                content = f"<ListSubscriptionsByTopicResult>{content}</ListSubscriptionsByTopicResult>"
                content = f"<ListSubscriptionsByTopicResponse>{content}</ListSubscriptionsByTopicResponse>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

    with serving(Sns) as address:
        environment = {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:1:alerts",
        }
        command = [DEBUG / "heartbeatctl", "notify", "test"]
        shown = subprocess.run(command, env=environment, capture_output=True, text=True)
        pages[""] = ("PendingConfirmation", "", "email")
        nobody = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown
    rows = [line.split() for line in shown.stdout.splitlines()]
    expected = [["sqs", "sqs-1", "confirmed", "db", "cache"], ["email", "email-1", "unconfirmed"], ["lambda", "lambda-1", "deleted"]]
    assert rows == [["PROTOCOL", "ENDPOINT", "STATE", "GROUPS"], *expected]
    assert "1 of 3" in shown.stderr
    assert nobody.returncode == 1 and "no subscription is confirmed" in nobody.stderr, nobody
    assert json.loads(nobody.stdout)[0]["state"] == "unconfirmed"
    assert [form["TopicArn"] for form in published] == [environment["ALERT_TOPIC_ARN"]] * 2
    message = json.loads(published[0]["Message"])
    assert json.loads(message["default"])["test"] == message["email"]
    # C14.4: so that it gets there, too.
    attribute = [published[0][f"MessageAttributes.entry.1.{part}"] for part in ("Name", "Value.DataType", "Value.StringValue")]
    assert attribute == ["groups", "String.Array", '["cache","db"]']
    assert not any(name.startswith("MessageAttributes") for name in published[1])


# C14.4
def test_an_address_is_subscribed_to_a_group_and_a_test_reaches_it(ctl, aws, deployed, tables):
    topic = {"TopicArn": deployed["AlertTopic"]}
    before = {each["SubscriptionArn"] for each in aws("sns").list_subscriptions_by_topic(**topic)["Subscriptions"]}
    added = ctl("notify", "add", "dba@example.org", "--group", "db", "--group", "cache", "--json")
    assert added.returncode == 0, added
    assert json.loads(added.stdout)["groups"] == ["db", "cache"]
    assert ctl("notify", "add", "ops@example.org").returncode == 0
    url = aws("sqs").create_queue(QueueName="of-db")["QueueUrl"]
    queue = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"FilterPolicy": json.dumps({"groups": ["db"]})}
    aws("sns").subscribe(**topic, Protocol="sqs", Endpoint=queue, Attributes=policy)
    listed = aws("sns").list_subscriptions_by_topic(**topic)["Subscriptions"]
    arns = {each["Endpoint"]: each["SubscriptionArn"] for each in listed if each["SubscriptionArn"] not in before}
    attributes = {address: aws("sns").get_subscription_attributes(SubscriptionArn=arn)["Attributes"] for address, arn in arns.items()}
    assert json.loads(attributes["dba@example.org"]["FilterPolicy"]) == {"groups": ["db", "cache"]}
    assert attributes["dba@example.org"].get("FilterPolicyScope", "MessageAttributes") == "MessageAttributes"
    assert "FilterPolicy" not in attributes["ops@example.org"]
    shown = {each["endpoint"]: each["groups"] for each in json.loads(ctl("notify", "list", "--json").stdout)}
    assert [shown[name] for name in ("dba@example.org", "ops@example.org", queue)] == [["db", "cache"], None, ["db"]]

    # As moto filters, so does SNS.
    def got(**attributes):
        given = {name: {"DataType": "String.Array", "StringValue": json.dumps(value)} for name, value in attributes.items()}
        message = json.dumps({"default": json.dumps(attributes)})
        aws("sns").publish(**topic, Message=message, MessageStructure="json", MessageAttributes=given)
        return len(aws("sqs").receive_message(QueueUrl=url).get("Messages", []))

    kinds = {"kinds": ["offline"]}
    assert [got(**kinds, groups=["db", "web"]), got(**kinds, groups=["web"]), got(**kinds)] == [1, 0, 0]
    ctl("notify", "test")
    (message,) = aws("sqs").receive_message(QueueUrl=url)["Messages"]
    assert "test" in json.loads(json.loads(message["Body"])["Message"])

    # A watchdog that names no groups.
    own = {"server_id": "#watchdog", "version": 1}
    tables("ServersTable").put_item(Item=own)
    older = ctl("notify", "add", "late@example.org", "--group", "db")
    tables("ServersTable").delete_item(Key={"server_id": "#watchdog"})
    assert older.returncode == 1 and "the stack is older: make deploy" in older.stderr, older
    for arn in arns.values():
        aws("sns").unsubscribe(SubscriptionArn=arn)
