"""What tests of programs on this machine share."""

import json
import socket
import urllib.request


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(port, operation, **parameters):
    """Calls an operation of a local DynamoDB; returns the response."""
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260118/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20260118T103000Z",
    }
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(parameters).encode(), headers)
    return json.load(urllib.request.urlopen(request))
