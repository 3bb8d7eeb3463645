"""A systemd that runs: process 1 of namespaces of its own, in which units are started, stopped and switched off."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from pathlib import Path
from threading import Lock, Thread

# Set before botocore is loaded, so that no test can reach an account.
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

import pytest
from function import ROUTE, Handler, ThreadingHTTPServer
from local import DEBUG, ROOT, pytest_terminal_summary  # noqa: F401

HERE = Path(__file__).parent
DEBIAN = ROOT / "crates/agent/debian"
PORT = 8080
URL = f"http://127.0.0.1:{PORT}{ROUTE}"
SETTINGS = f"HEARTBEAT_URL={URL}\nHEARTBEAT_SERVER_ID=web-1\nHEARTBEAT_INTERVAL=1\n"


def wait_until(what, condition, seconds=60):
    """Waits until a condition holds; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"it took too long: {what}"
        time.sleep(0.05)
    return value


class Box:
    """A machine that has booted."""

    def __init__(self, folder, dropped=""):
        command = [HERE / "box.sh", folder, dropped]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.folder = folder
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")

        def booted():
            assert self._process.poll() is None, self.log()
            self.pid = int(children.read_text() or 0)
            return self.pid and self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded")

        wait_until("the start of systemd", booted)

    def log(self):
        return self.folder.with_name(f"{self.folder.name}.log").read_text()

    def path(self, path):
        """A file of the machine, as this process sees it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path, content, mode=0o644):
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)

    def enter(self, *command):
        """A command line that runs a command there."""
        return ["nsenter", "--all", "--target", str(self.pid), *command]

    def run(self, script, check=True):
        """Runs a script there as root; returns what it prints."""
        command = self.enter("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-euc", script)
        done = subprocess.run(command, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{script}: {done}"
        return done.stdout

    def show(self, unit, name):
        return self.run(f"systemctl show --property={name} --value {unit}").strip()

    def install(self, unit=None, settings=SETTINGS, key="key-1"):
        """Installs the agent as the package does, but for its user, which its maintainer script makes."""
        # A program that runs cannot be written to.
        self.path("/usr/bin/heartbeat-agent").unlink(missing_ok=True)
        shutil.copy(DEBUG / "heartbeat-agent", self.path("/usr/bin/heartbeat-agent"))
        for file in DEBIAN.glob("heartbeat-*.*"):
            self.write(f"/etc/systemd/system/{file.name}", file.read_text())
        if unit:
            self.write("/etc/systemd/system/heartbeat-agent.service", unit)
        self.write("/etc/heartbeat/agent.env", settings, 0o640)
        if key:
            self.write("/etc/heartbeat/api-key", key, 0o600)
        self.run("systemctl daemon-reload")

    def make_user(self):
        self.run(f"systemd-sysusers - < {DEBIAN}/heartbeat-agent.sysusers")

    def ended(self):
        """Waits for the end of the machine."""
        self._process.wait(60)

    def end(self):
        if self._process.poll() is None:
            os.kill(self.pid, 9)
        self._process.wait()
        for mount in map(str.split, Path("/proc/self/mounts").read_text().splitlines()):
            group = Path(mount[1], f"heartbeat-box-{self._process.pid}")
            if mount[2] == "cgroup2" and group.exists():
                for folder in [*sorted((folder for folder in group.rglob("*") if folder.is_dir()), reverse=True), group]:
                    wait_until("the end of its processes", lambda: not (folder / "cgroup.procs").read_text())
                    folder.rmdir()

    @contextlib.contextmanager
    def serving(self, handler):
        """An HTTP server on the machine's own loopback interface."""
        server = ThreadingHTTPServer(("127.0.0.1", PORT), handler, bind_and_activate=False)
        server.socket.close()
        failed = []

        def bind():
            # A thread may enter another network alone, and a socket stays in the one in which it was made.
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.pid}/ns/net") as network:
                if libc.setns(network.fileno(), 0):
                    failed.append(os.strerror(ctypes.get_errno()))
                    return
            server.socket = server.socket.__class__(server.address_family, server.socket_type)
            server.server_bind()
            server.server_activate()

        thread = Thread(target=bind)
        thread.start()
        thread.join()
        assert not failed, failed
        with server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()


class Recorder:
    """An endpoint that accepts everything, and keeps it."""

    def __init__(self):
        self.status = 200
        self.heartbeats = []
        self.keys = []
        lock = Lock()

        class Endpoint(Handler):
            def do_POST(handler):
                body = handler.body()
                with lock:
                    self.heartbeats.append(body)
                    self.keys.append(handler.headers["X-API-Key"])
                handler.answer(self.status, {"status": "ok"})

        self.handler = Endpoint

    def next(self, count=1):
        """Waits for further heartbeats; returns the last."""
        before = len(self.heartbeats)
        wait_until("a heartbeat", lambda: len(self.heartbeats) >= before + count)
        return self.heartbeats[-1]


def reason_to_skip():
    """Why no systemd can be started here."""
    if os.geteuid():
        return "it needs root"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "sshd", "dbus-daemon") if not shutil.which(name)]
    missing += [] if os.path.exists("/usr/lib/systemd/systemd") else ["systemd"]
    return missing and f"it needs {', '.join(missing)}"


@pytest.fixture(scope="session")
def can_boot(tmp_path_factory):
    reason = reason_to_skip()
    if not reason:
        try:
            Box(tmp_path_factory.mktemp("boot") / "box").end()
        except AssertionError as error:
            reason = f"no systemd can be started here: {error}"
    if reason:
        pytest.skip(reason)


@pytest.fixture
def box(can_boot, tmp_path):
    box = Box(tmp_path / "box")
    yield box
    box.end()


@pytest.fixture
def endpoint(box):
    recorder = Recorder()
    with box.serving(recorder.handler):
        yield recorder
