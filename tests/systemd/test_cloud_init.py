"""The user data of `heartbeatctl enroll --print cloud-init`, run as cloud-init does, on a Debian whose systemd runs."""

import platform
import subprocess
import tarfile

import boto3
import pytest
from conftest import DEBIAN, URL, Recorder, wait_until
from local import DEBUG, dev

AGENT = "heartbeat-agent"
PROCESSOR = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
TABLES = {"SERVERS_TABLE": "heartbeat-servers", "METRICS_TABLE": "heartbeat-metrics", "KEYS_TABLE": "heartbeat-keys"}


@pytest.fixture
def release(tmp_path):
    """A folder with the archive of the agent."""
    folder = tmp_path / "release"
    folder.mkdir()
    version = subprocess.run([DEBUG / AGENT, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    with tarfile.open(folder / f"{AGENT}-{version}-linux-{PROCESSOR}.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(DEBUG / AGENT, AGENT)
    return folder


@pytest.fixture
def instance(box, release):
    """An instance that cloud-init has prepared, the endpoint that it reaches, and where it downloads from."""
    recorder = Recorder()

    class Server(recorder.handler):
        def do_GET(handler):
            file = release / handler.path.rpartition("/")[2]
            handler.send_response(200 if file.exists() else 404)
            content = file.read_bytes() if file.exists() else b""
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

    box.write("/var/lib/cloud/data/instance-id", "i-0ABC\n")
    with box.serving(Server):
        yield box, recorder


def user_data(release, *arguments):
    """User data, and the keys table after it was printed."""
    with dev("dynamodb", "--port", "0", "--file", ":memory:") as (url, _):
        keys = boto3.resource("dynamodb", endpoint_url=url).Table(TABLES["KEYS_TABLE"])
        environment = TABLES | {"AWS_ENDPOINT_URL_DYNAMODB": url, "AWS_REGION": "us-east-1"}
        environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        options = ["--print", "cloud-init", "--group", "web", "--prefix", "web-", "--url", URL, "--agent", release]
        command = [DEBUG / "heartbeatctl", "enroll", *options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done
        return done.stdout, keys.scan()["Items"]


def run(box, script):
    """Runs user data as cloud-init does: a file that is executed as root."""
    box.write("/var/lib/cloud/instance/scripts/part-001", script, 0o700)
    return subprocess.run(
        box.enter("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/var/lib/cloud/instance/scripts/part-001"),
        capture_output=True,
        text=True,
    )


# C2.7
def test_an_instance_becomes_a_server_named_after_prefix_and_instance(instance, release):
    box, endpoint = instance
    script, keys = user_data(release, "--from", URL.rpartition("/")[0])
    done = run(box, script)
    assert done.returncode == 0, done
    # The next one comes after a minute.
    wait_until("a heartbeat", lambda: endpoint.heartbeats)
    assert endpoint.heartbeats[0]["server_id"] == "web-i-0abc"
    (key,) = keys
    assert (key["server_id"], key["group"]) == ("web-*", "web")
    secret = endpoint.keys[-1]
    assert secret and secret not in done.stdout + done.stderr
    assert box.run("stat -c '%a %U %G' /etc/heartbeat/api-key") == "640 root heartbeat-agent\n"
    assert box.run(f"systemctl is-enabled {AGENT}") == "enabled\n"
    assert box.show(AGENT, "ExecStart").startswith("{ path=/usr/local/bin/heartbeat-agent ;")
    # When the group shrinks, the instance is switched off.
    box.run("systemctl poweroff --no-block")
    box.ended()
    assert endpoint.heartbeats[-1].get("leaving") is True


def test_an_image_with_the_package_needs_no_download(instance, release):
    box, endpoint = instance
    box.install(settings="HEARTBEAT_SERVER_ID=image\nHEARTBEAT_INTERVAL=1\n", key="of the image")
    script, _ = user_data(release)
    done = run(box, script)
    assert done.returncode == 0, done
    assert endpoint.next()["server_id"] == "web-i-0abc"
    assert box.show(AGENT, "ExecStart").startswith("{ path=/usr/bin/heartbeat-agent ;")
    assert "HEARTBEAT_INTERVAL=1" in box.path("/etc/heartbeat/agent.env").read_text()


def test_what_is_not_the_agent_is_not_installed(instance, release):
    box, _ = instance
    script, _ = user_data(release, "--from", URL.rpartition("/")[0])
    (archive,) = release.iterdir()
    with tarfile.open(archive, "w:gz") as forged:
        forged.add(DEBIAN / "postinst", AGENT)
    done = run(box, script)
    assert done.returncode == 1 and "its SHA-256 differs" in done.stderr, done
    assert not box.path("/usr/local/bin/heartbeat-agent").exists() and not box.path("/etc/heartbeat/api-key").exists()
    bare, _ = user_data(release)
    done = run(box, bare)
    assert done.returncode == 1 and "this image has no heartbeat-agent" in done.stderr, done
