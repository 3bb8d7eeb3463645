"""From `make deploy` to a heartbeat in the table, through the agent that `make enroll` installs. `make test-release`

With a fake SAM, moto's AWS, an ssh that runs its commands in a root of its own, and a systemctl that starts the agent. The
function, heartbeatctl and the agent are those of `make release`. With DEBIAN=1, the root is a Debian that debootstrap makes.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import threading

import pytest
from function import ROUTE, Handler, event, running, serving
from release import FILES, HOST
from local import ROOT
from stack import of_type, read
from test_deploy import TRIPLE, Project

SYSTEMCTL = """#!/bin/sh
[ "$1" != --version ] || echo systemd 252
echo "$*" >> /run/systemctl.log
[ "$1" = restart ] || exit 0
set -a
. /etc/heartbeat/agent.env
HEARTBEAT_INTERVAL=1 setsid /usr/local/bin/heartbeat-agent < /dev/null > /run/agent.log 2>&1 &
echo $! > /run/agent.pid
"""
SYSTEMD_RUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
    case $1 in
        --property=EnvironmentFile=-*) settings=${1#*=-} ;;
    esac
    shift
done
if [ -n "$settings" ]; then
    set -a
    . "$settings"
    eval "exec $*"
fi
setsid "$@" < /dev/null > /dev/null 2>&1 &
"""
TABLES = {"ServersTableName": "ServersTable", "MetricsTableName": "MetricsTable", "KeysTableName": "KeysTable"}


def gateway(function):
    """API Gateway, as far as agents see it."""
    lock = threading.Lock()

    class Gateway(Handler):
        def do_POST(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                answer = function.invoke(event(self.body(), headers))
            self.answer(answer["statusCode"], json.loads(answer["body"]))

    return Gateway


def debian(folder):
    """A Debian from the mirror that this machine's apt uses."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    mirror, release = subprocess.run(targets, check=True, capture_output=True, text=True).stdout.split()[:2]
    command = ["debootstrap", "--variant=minbase", release, folder, mirror]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def machine(tmp_path):
    """The root of web-1. The agent that was started there ends with the test."""
    folder = tmp_path / "machines/web-1"
    if os.environ.get("DEBIAN"):
        debian(folder)
    for name in ("usr/local/bin", "etc/systemd/system", "opt", "run", "tmp", "var/lib"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    user = '[ "$*" != "-u heartbeat-agent" ] || set -- -u; exec /usr/bin/id "$@"'
    for name, script in {
        "systemctl": SYSTEMCTL,
        "systemd-run": SYSTEMD_RUN,
        "id": f"#!/bin/sh\n{user}\n",
        "chown": "#!/bin/sh\n",
    }.items():
        (folder / "usr/local/bin" / name).write_text(script)
        (folder / "usr/local/bin" / name).chmod(0o755)
    yield folder
    for started in folder.glob("run/agent.pid"):
        os.kill(int(started.read_text()), signal.SIGTERM)


@pytest.fixture
def project(tmp_path, fresh_aws):
    """A clone in which everything is built, and an ssh."""
    folder = tmp_path / "clone"
    folder.mkdir()
    project = Project(folder, fresh_aws("sts").meta.endpoint_url)
    for program, place in {
        "heartbeatctl": "target/tools-release",
        "heartbeat-agent": f"target/{TRIPLE[HOST]}/agent",
    }.items():
        (archive,) = FILES.glob(f"{program}-*-linux-{HOST}.tar.gz")
        with tarfile.open(archive) as files:
            files.extractall(folder / place, filter="data")
    ssh = folder / "target/tools/bin/ssh"
    shutil.copy(ROOT / "crates/heartbeatctl/tests/heartbeatctl/fake-ssh.sh", ssh)
    ssh.chmod(0o755)
    return project


def test_a_clone_becomes_a_heartbeat(project, machine, fresh_aws, tmp_path):
    dynamodb = fresh_aws("dynamodb")
    tiny = json.loads((project.folder / "tiny.json").read_text())
    for name, table in of_type(read(), "AWS::DynamoDB::Table").items():
        properties = {key: table[key] for key in ("AttributeDefinitions", "KeySchema")}
        properties |= {"TableName": name, "BillingMode": "PAY_PER_REQUEST"}
        tiny["Resources"][name] = {"Type": "AWS::DynamoDB::Table", "Properties": properties}
    tiny["Outputs"] |= {output: {"Value": {"Ref": name}} for output, name in TABLES.items()}
    settings = {"SERVERS_TABLE": "ServersTable", "METRICS_TABLE": "MetricsTable", "KEYS_TABLE": "KeysTable"}
    bootstrap = FILES.parent / "lambda/heartbeat/bootstrap"
    with running(settings, dynamodb.meta.endpoint_url, program=bootstrap) as function:
        with serving(gateway(function)) as address:
            tiny["Outputs"]["HeartbeatUrl"]["Value"] = f"http://{address}{ROUTE}"
            (project.folder / "tiny.json").write_text(json.dumps(tiny))
            said, _ = project.make("deploy", EMAIL="me@example.org")
            (typed,) = re.findall(r"^  make (enroll) (HOST=\S+)$", said, re.MULTILINE)
            said, _ = project.make(*typed, MACHINES=str(tmp_path))
    assert "heard from web-1 after" in said and "memory" in said, said
    (server,) = dynamodb.scan(TableName="ServersTable")["Items"]
    assert server["server_id"] == {"S": "web-1"} and server["status"] == {"S": "online"}
    assert int(server["reading"]["M"]["memory_total_mb"]["N"]) > 0
    assert dynamodb.scan(TableName="MetricsTable")["Items"]
    # The key is in its file, and nowhere else.
    key = (machine / "etc/heartbeat/api-key").read_text()
    (stored,) = dynamodb.scan(TableName="KeysTable")["Items"]
    assert stored["server_id"] == {"S": "web-1"}
    holders = subprocess.run(["grep", "-rslF", key, tmp_path], capture_output=True, text=True).stdout.split()
    assert holders == [str(machine / "etc/heartbeat/api-key")] and key not in said
