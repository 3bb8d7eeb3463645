"""The stack that moto makes of the template, and the DynamoDB that its functions use."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

# Set before botocore is loaded, so that no test can reach an account.
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

import boto3
import pytest
from function import HEARTBEAT, KEY
from local import free_port
from moto.server import ThreadedMotoServer
from stack import CODE, of_type, read, transform

STACK = "heartbeat"
PARAMETERS = {
    "ApiKeySha256": hashlib.sha256(KEY.encode()).hexdigest(),
    "AlarmEmail": "ops@example.com",
    "WebhookUrls": "json:https://webhook.example.com/T0K3N",
}


@pytest.fixture(scope="session")
def aws():
    """Creates clients for a mock AWS."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield lambda service: boto3.client(service, endpoint_url=f"http://{host}:{port}")
    server.stop()


@pytest.fixture(scope="session")
def moto_process():
    """A mock AWS of its own: all servers of one process share what they hold."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.kill()


@pytest.fixture
def fresh_aws(moto_process):
    """Creates clients for a mock AWS in which there is nothing."""
    reset = urllib.request.Request(f"{moto_process}/moto-api/reset", method="POST")
    for _ in range(100):
        try:
            urllib.request.urlopen(reset)
            break
        except urllib.error.URLError:
            time.sleep(0.1)
    return lambda service: boto3.client(service, endpoint_url=moto_process)


@pytest.fixture(scope="session")
def deployed(aws):
    """The stack's resources by logical id, as far as moto makes them."""
    bucket, name = CODE.removeprefix("s3://").split("/")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(HEARTBEAT, "bootstrap")
    aws("s3").create_bucket(Bucket=bucket)
    aws("s3").put_object(Bucket=bucket, Key=name, Body=package.getvalue())
    aws("cloudformation").create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(transform(read())),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in PARAMETERS.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    resources = aws("cloudformation").list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    # moto lists resources that it does not support without a name.
    named = [resource for resource in resources if resource["LogicalResourceId"]]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in named}


def environment(aws, name):
    function = aws("lambda").get_function_configuration(FunctionName=name)
    return {name: str(value) for name, value in function["Environment"]["Variables"].items()}


@pytest.fixture(scope="session")
def settings(aws, deployed):
    """The environment variables that the stack gives the heartbeat function."""
    return environment(aws, deployed["HeartbeatFunction"])


@pytest.fixture(scope="session")
def watchdog_settings(aws, deployed):
    """The environment variables that the stack gives the watchdog."""
    return environment(aws, deployed["WatchdogFunction"])


@pytest.fixture(scope="session")
def dynamodb(aws, deployed):
    """The DynamoDB that holds the stack's tables: the one at AWS_ENDPOINT_URL_DYNAMODB, or else moto's."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
    if not endpoint:
        return aws("dynamodb").meta.endpoint_url
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    for name, table in of_type(read(), "AWS::DynamoDB::Table").items():
        wanted = {key: table[key] for key in ("AttributeDefinitions", "KeySchema")}
        client.create_table(TableName=deployed[name], BillingMode="PAY_PER_REQUEST", **wanted)
    return endpoint
