"""`heartbeatctl enroll` and `retire` through a real sshd, on a machine with systemd; the function and DynamoDB are real, too."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import threading

import boto3
import pytest
from conftest import HERE, URL, wait_until
from function import Handler, event, running
from local import DEBUG, dev

AGENT = "heartbeat-agent"
KEY_FILE = "/etc/heartbeat/api-key"
SETTINGS_FILE = "/etc/heartbeat/agent.env"
PROGRAM = "/usr/local/bin/heartbeat-agent"
UNIT = "/etc/systemd/system/heartbeat-agent.service"
OLDER = (HERE / "older.service").read_text().replace("/usr/bin/", "/usr/local/bin/")
PROCESSOR = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
# Passes every check, and never sends.
SILENT = f'#!/bin/sh\ncase $1 in --*) exec {DEBUG / AGENT} "$@" ;; esac\nexec sleep 1000\n'
TABLES = {"SERVERS_TABLE": "heartbeat-servers", "METRICS_TABLE": "heartbeat-metrics", "KEYS_TABLE": "heartbeat-keys"}


@pytest.fixture(scope="module")
def dynamodb():
    with dev("dynamodb", "--port", "0", "--file", ":memory:") as (url, _):
        yield url


class Fleet:
    """One machine, the endpoint that it reaches, and the tool."""

    def __init__(self, box, dynamodb, folder):
        self.box, self.folder, self.url = box, folder, dynamodb
        resource = boto3.resource("dynamodb", endpoint_url=dynamodb)
        self.keys, self.servers = resource.Table(TABLES["KEYS_TABLE"]), resource.Table(TABLES["SERVERS_TABLE"])
        for table, key in ((self.keys, "key_sha256"), (self.servers, "server_id")):
            for item in table.scan()["Items"]:
                table.delete_item(Key={key: item[key]})
        home = folder / "home/.ssh"
        home.mkdir(parents=True)
        key, host_key = home / "id", folder / "host-key"
        for file in (key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
        box.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)
        box.path("/root/.ssh").chmod(0o700)
        box.write("/etc/ssh/test-key", host_key.read_text(), 0o600)
        box.run("mkdir -p /run/sshd; chown -R root:root /root/.ssh /etc/ssh/test-key")
        server = " ".join(box.enter("/usr/sbin/sshd", "-i", "-f", "/dev/null", "-h", "/etc/ssh/test-key"))
        # ssh as its user has configured it. A real ssh and a real sshd; only the network between them is a pipe.
        ssh = folder / "bin/ssh"
        ssh.parent.mkdir()
        options = f"-i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} -o "ProxyCommand={server}" "$@"\n')
        ssh.chmod(0o755)
        self.release(DEBUG / AGENT)

    def release(self, program):
        """Makes this program the one that is enrolled."""
        release = self.folder / "release"
        release.mkdir(exist_ok=True)
        with tarfile.open(release / f"heartbeat-agent-0.1.0-linux-{PROCESSOR}.tar.gz", "w:gz", compresslevel=1) as archive:
            archive.add(program, AGENT)

    def script(self, text):
        """Makes this script the program that is enrolled."""
        file = self.folder / "program"
        file.write_text(text)
        file.chmod(0o755)
        self.release(file)

    def tool(self, *arguments, **environment):
        temporary = self.folder / "t"
        temporary.mkdir(exist_ok=True)
        environment = {
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "TMPDIR": str(temporary),
        } | TABLES | environment
        command = [DEBUG / "heartbeatctl", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    def enroll(self, *arguments, server="web-1", **environment):
        release = ("--agent", str(self.folder / "release"))
        return self.tool("enroll", server, "--ssh", "root@box", "--url", URL, *release, *arguments, **environment)

    def digests(self):
        return {item["key_sha256"] for item in self.keys.scan()["Items"]}

    def server(self, name="web-1"):
        return self.servers.get_item(Key={"server_id": name}).get("Item", {})

    def seen(self):
        return self.server().get("last_seen", "")

    def send_again(self):
        """Waits for a further heartbeat."""
        before = self.seen()
        wait_until("a heartbeat", lambda: self.seen() > before)

    def installed(self):
        """The files of the agent, as they are."""
        files = (KEY_FILE, SETTINGS_FILE, PROGRAM, UNIT)
        return {file: self.box.run(f"stat --format='%U:%G %a' {file}; sha256sum < {file}", check=False) for file in files}

    def leftovers(self):
        return self.box.run("ls -A /tmp /etc/heartbeat | grep -v -e : -e agent.env -e api-key -e systemd-private || :").split()


@pytest.fixture
def fleet(box, dynamodb, tmp_path):
    lock = threading.Lock()
    with running(TABLES | {"KEY_CACHE_SECONDS": "1"}, dynamodb) as function:

        class Gateway(Handler):
            def do_POST(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.body()
                with lock:
                    answer = function.invoke(event(body, headers))
                self.answer(answer["statusCode"], json.loads(answer["body"]))

        with box.serving(Gateway):
            yield Fleet(box, dynamodb, tmp_path)


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def enrolled(fleet, *arguments, **options):
    done = fleet.enroll(*arguments, **options)
    assert done.returncode == 0, done
    return done


def rejected(fleet, *arguments, **options):
    done = fleet.enroll(*arguments, **options)
    assert done.returncode == 1, done
    return done.stderr


def hurry(fleet):
    """Makes the agents that follow send every second."""
    fleet.box.write(SETTINGS_FILE, "HEARTBEAT_INTERVAL=1\n", 0o640)


def older(fleet):
    """An installation as version 0.1.0 of the tool has made it, which sends."""
    key = fleet.tool("keys", "add", "web-1").stdout.strip()
    fleet.box.path("/usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(DEBUG / AGENT, fleet.box.path(PROGRAM))
    fleet.box.write(UNIT, OLDER)
    fleet.box.write(SETTINGS_FILE, f"HEARTBEAT_URL={URL}\nHEARTBEAT_SERVER_ID=web-1\nHEARTBEAT_INTERVAL=1\n", 0o640)
    fleet.box.write(KEY_FILE, key, 0o600)
    fleet.box.run(f"systemctl daemon-reload; systemctl --quiet enable --now {AGENT}")
    wait_until("the older agent", fleet.seen)
    return key


def test_a_machine_is_enrolled_and_retired(fleet):
    box = fleet.box
    hurry(fleet)
    box.write("/root/.bashrc", "echo Welcome, $((6 * 7)) times.\nseq 100000\n")
    # As long as that of a Mac.
    temporary = fleet.folder.parent / ("t" * (48 - len(str(fleet.folder.parent))))
    temporary.mkdir(exist_ok=True)
    done = enrolled(fleet, TMPDIR=str(temporary))
    assert "heard from web-1" in done.stderr and "100000" not in done.stderr, done
    assert box.run(f"stat --format='%U:%G %a' {KEY_FILE}").strip() == "root:heartbeat-agent 640"
    key = box.path(KEY_FILE).read_text()
    assert fleet.digests() == {digest(key)}
    assert fleet.leftovers() == [] and os.listdir(temporary) == []
    assert box.show(AGENT, "UnitFileState") == "enabled"
    fleet.send_again()

    # A check of an operator's, with a drop-in.
    box.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\n", 0o755)
    box.write(f"{UNIT}.d/override.conf", "[Service]\nNice=5\n")
    box.run("systemctl daemon-reload; systemctl --quiet enable --now heartbeat-check@backup.timer")
    wrong = fleet.tool("retire", "web-2", "--ssh", "root@box", "--yes")
    assert "the agent that is installed is web-1" in wrong.stderr, wrong
    done = fleet.tool("retire", "web-1", "--ssh", "root@box", "--yes")
    assert done.returncode == 0, done
    assert "/etc/heartbeat/checks.d/backup" in done.stderr and f"{UNIT}.d/override.conf" in done.stderr, done
    left = "ls -d /etc/systemd/system/*heartbeat* /etc/systemd/system/*/*heartbeat* /var/lib/*heartbeat* /usr/local/bin/*heart* || :"
    assert box.run(left, check=False).split() == [f"{UNIT}.d"]
    assert box.run("systemctl list-units --all --plain --no-legend 'heartbeat*'") == ""
    box.run(f"id {AGENT}; test -x /etc/heartbeat/checks.d/backup; ! test -e {KEY_FILE}; ! test -e {SETTINGS_FILE}")
    assert fleet.digests() == set() and fleet.server() == {}


def test_an_older_agent_that_sends_is_replaced(fleet):
    old = older(fleet)
    done = enrolled(fleet)
    assert "revoked 1 older key" in done.stderr, done
    new = fleet.box.path(KEY_FILE).read_text()
    assert new != old and fleet.digests() == {digest(new)}
    assert fleet.box.show(AGENT, "User") == AGENT and fleet.box.show(AGENT, "DynamicUser") == "no"
    fleet.send_again()
    assert fleet.box.show(AGENT, "NRestarts") == "0"
    assert fleet.leftovers() == []


# Each of them stays silent, while the agent that was there before has just been heard.
@pytest.mark.parametrize(
    "program, reason",
    [
        ("#!/bin/sh\nexit 7\n", "the program does not run here"),
        ("#!/lib/no-such-loader\n", "heartbeat-agent.new’: No such file or directory"),
        (SILENT, "no heartbeat within 6s"),
        (SILENT.replace("sleep 1000", "sh -c 'exit 3'"), "the agent does not run: code=exited, status=3"),
    ],
)
def test_after_a_failed_upgrade_everything_is_as_it_was(fleet, program, reason):
    old = older(fleet)
    before = fleet.installed()
    fleet.script(program)
    said = rejected(fleet, "--wait", "6s")
    assert reason in said, said
    assert fleet.installed() == before
    assert fleet.digests() == {digest(old)}, said
    assert fleet.box.show(AGENT, "ActiveState") == "active"
    fleet.send_again()
    assert fleet.leftovers() == []


def test_what_systemd_says_of_a_program_that_it_cannot_start_is_the_reason(fleet):
    fleet.box.write(f"{UNIT}.d/bind.conf", "[Service]\nBindPaths=/no/such/folder\n")
    assert "the agent does not run: code=exited, status=226/NAMESPACE" in rejected(fleet)
    assert fleet.digests() == set()


def test_a_first_enrolment_that_fails_leaves_nothing(fleet):
    fleet.script(SILENT)
    said = rejected(fleet, "--wait", "3s")
    assert "no heartbeat within 3s" in said and "is revoked" in said, said
    assert set(fleet.installed().values()) == {""} and fleet.digests() == set()
    assert fleet.box.run("systemctl list-units --all --plain --no-legend 'heartbeat*'") == ""
    assert fleet.leftovers() == []


def test_a_key_in_the_settings_works_until_the_new_one_is_heard(fleet):
    old = older(fleet)
    fleet.box.path(KEY_FILE).unlink()
    settings = fleet.box.path(SETTINGS_FILE).read_text() + f"  HEARTBEAT_API_KEY='{old}'\n"
    fleet.box.write(UNIT, OLDER.replace("LoadCredential", "#LoadCredential"))
    fleet.box.write(SETTINGS_FILE, settings, 0o640)
    fleet.box.run(f"systemctl daemon-reload; systemctl restart {AGENT}")
    fleet.send_again()
    fleet.script(SILENT)
    rejected(fleet, "--wait", "3s")
    assert fleet.box.path(SETTINGS_FILE).read_text() == settings
    fleet.send_again()
    fleet.release(DEBUG / AGENT)
    enrolled(fleet)
    assert "HEARTBEAT_API_KEY" not in fleet.box.path(SETTINGS_FILE).read_text()
    assert fleet.digests() == {digest(fleet.box.path(KEY_FILE).read_text())}
    fleet.send_again()


def test_a_drop_in_that_holds_an_old_key_is_named(fleet):
    old = older(fleet)
    fleet.box.write(f"{UNIT}.d/key.conf", f"[Service]\nEnvironment=HEARTBEAT_API_KEY={old}\n")
    fleet.box.run("systemctl daemon-reload")
    assert "does not use the new key" in rejected(fleet)
    assert fleet.digests() == {digest(old)}
    fleet.send_again()


@pytest.mark.parametrize(
    "settings",
    [
        'HEARTBEAT_SERVER_ID="web-1"\n',
        "  HEARTBEAT_SERVER_ID=web-1  \n",
        "HEARTBEAT_SERVER_ID=web-\\\n1\n",
        "HEARTBEAT_SERVER_ID=other\nHEARTBEAT_ARGUMENTS=--server-id web-1\n",
    ],
)
def test_a_server_id_is_what_systemd_makes_of_it(fleet, settings):
    older(fleet)
    url = f"HEARTBEAT_URL={URL}\nHEARTBEAT_INTERVAL=1\n"
    fleet.box.write(SETTINGS_FILE, url + settings, 0o640)
    fleet.box.run(f"systemctl restart {AGENT}")
    fleet.send_again()
    # It was heard just now, and is this machine.
    enrolled(fleet)
    wrong = fleet.tool("retire", "other", "--ssh", "root@box", "--yes")
    assert "the agent that is installed is web-1" in wrong.stderr, wrong
    done = fleet.tool("retire", "web-1", "--ssh", "root@box", "--yes")
    assert done.returncode == 0, done


def test_another_machine_that_still_sends_is_not_taken_for_this_one(fleet):
    """It sends with the same host name, ten times a second."""
    key = fleet.tool("keys", "add", "web-1").stdout.strip()
    hostname = fleet.box.run("uname -n").strip()
    is_over = threading.Event()
    send = fleet.box.enter(
        sys.executable, "-c",
        "import json, sys, time, urllib.request as r\n"
        "while True:\n"
        f"    body = dict(server_id='web-1', hostname={hostname!r}, timestamp=time.time(), boot_id='other', server_guid='other')\n"
        f"    r.urlopen(r.Request({URL!r}, json.dumps(body).encode(), {{'X-API-Key': {key!r}}}))\n"
        "    time.sleep(0.1)\n",
    )  # fmt: skip
    with subprocess.Popen(send) as other:
        try:
            wait_until("the other machine", fleet.seen)
            assert "pass --replace" in rejected(fleet)
            fleet.script(SILENT)
            assert "no heartbeat within 5s" in rejected(fleet, "--replace", "--wait", "5s")
            assert fleet.digests() == {digest(key)}
            fleet.release(DEBUG / AGENT)
            hurry(fleet)
            enrolled(fleet, "--replace")
        finally:
            other.kill()


def test_without_a_place_in_usr_the_program_goes_to_opt(fleet):
    hurry(fleet)
    fleet.box.run("mkdir -p /usr/local/bin; mount --bind /usr/local/bin /usr/local/bin; mount -o remount,ro,bind /usr/local/bin")
    enrolled(fleet)
    assert fleet.box.show(AGENT, "ExecStart").startswith("{ path=/opt/bin/heartbeat-agent ;")
    done = fleet.tool("retire", "web-1", "--ssh", "root@box", "--yes")
    assert done.returncode == 0, done
    fleet.box.run("! test -e /opt/bin/heartbeat-agent")


def test_a_machine_on_which_no_user_can_be_made_gets_no_key(fleet):
    fleet.box.run("mount --bind /bin/false /usr/sbin/useradd; mount --bind /bin/false /usr/bin/systemd-sysusers")
    assert "the user heartbeat-agent cannot be made" in rejected(fleet)
    assert fleet.digests() == set() and fleet.leftovers() == []


def test_a_lost_connection_puts_everything_back(fleet):
    old = older(fleet)
    before = fleet.installed()
    fleet.script(SILENT)
    outcome = {}
    worker = threading.Thread(target=lambda: outcome.update(done=fleet.enroll("--wait", "600s")))
    worker.start()
    wait_until("the new agent", lambda: fleet.installed() != before and fleet.box.show(AGENT, "SubState") == "running")
    # What a lost connection leaves is taken up by the next run.
    fleet.release(DEBUG / AGENT)
    fleet.box.run("systemctl stop heartbeatctl-enroll")
    worker.join()
    assert outcome["done"].returncode == 1, outcome
    assert fleet.installed() == before and fleet.digests() == {digest(old)}
    fleet.send_again()
