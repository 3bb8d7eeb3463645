"""The shipped units under a systemd that runs."""

import re
import subprocess

import pytest
from conftest import DEBIAN, HERE, ROOT, SETTINGS, wait_until

OLDER = (HERE / "older.service").read_text()
AGENT = "heartbeat-agent"


def start(box):
    box.run(f"systemctl start {AGENT}")


def services(heartbeat):
    return {service["name"]: service["status"] for service in heartbeat["services"]}


def mode(box, path):
    return box.run(f"stat --format='%U:%G %a' {path}").strip()


def test_a_failed_unit_and_a_failed_check_are_reported(box, endpoint):
    box.install()
    box.make_user()
    box.write("/etc/systemd/system/broken.service", "[Service]\nExecStart=/bin/false\n")
    box.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\nexit 1\n", 0o755)
    box.run("systemctl daemon-reload; systemctl start broken; systemctl start heartbeat-check@backup || :")
    start(box)
    assert services(endpoint.next()) == {"broken": "failed", "backup": "failed"}
    box.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\nexit 0\n", 0o755)
    box.run("systemctl reset-failed broken; systemctl start heartbeat-check@backup")
    wait_until("that all is well", lambda: services(endpoint.next()) == {})
    assert box.show("heartbeat-check@backup.timer", "LoadState") == "loaded"
    box.run("systemctl enable --now heartbeat-check@backup.timer")
    assert box.show("heartbeat-check@backup.timer", "ActiveState") == "active"


def test_the_agent_reads_a_key_that_only_root_could_read(box, endpoint):
    box.install(key="key-of-an-older-tool\n")
    box.make_user()
    start(box)
    endpoint.next()
    assert set(endpoint.keys) == {"key-of-an-older-tool"}
    assert mode(box, "/etc/heartbeat/api-key") == "root:heartbeat-agent 640"
    pid = box.show(AGENT, "MainPID")
    assert box.run(f"stat --format=%U /proc/{pid}").strip() == AGENT
    assert "CapEff:\t0000000000000000" in box.run(f"cat /proc/{pid}/status")
    # A new key needs no restart.
    box.write("/etc/heartbeat/api-key", "key-2")
    wait_until("the new key", lambda: endpoint.next() and endpoint.keys[-1] == "key-2")


def test_a_key_in_the_settings_needs_no_file(box, endpoint):
    box.install(settings=SETTINGS + "HEARTBEAT_API_KEY=key-of-settings\n", key=None)
    box.make_user()
    start(box)
    endpoint.next()
    assert set(endpoint.keys) == {"key-of-settings"}
    assert "cannot access" not in box.run(f"journalctl --no-pager -u {AGENT}")


def test_state_and_key_of_an_older_installation_are_taken_over(box, endpoint):
    box.install(OLDER)
    endpoint.status = 503
    start(box)
    endpoint.next(3)
    # Its user is dynamic, and has the name of the new one.
    assert box.show(AGENT, "DynamicUser") == "yes"
    measured = {heartbeat["timestamp"] for heartbeat in endpoint.heartbeats}
    box.run(f"systemctl stop {AGENT}; test -s /var/lib/private/{AGENT}/backlog; test -L /var/lib/{AGENT}")
    box.install()
    box.make_user()
    endpoint.status = 200
    start(box)

    def kept():
        return {heartbeat["timestamp"] for heartbeat in endpoint.heartbeats if heartbeat.get("backlog")}

    wait_until("the backlog", lambda: measured <= kept())
    assert mode(box, f"/var/lib/{AGENT}") == f"{AGENT}:{AGENT} 700"
    assert mode(box, "/etc/heartbeat/api-key") == "root:heartbeat-agent 640"
    assert box.run(f"ls -A /var/lib/private/{AGENT}") == ""
    # And its state is its own again: it writes a backlog, and reads it.
    endpoint.status = 503
    endpoint.next(2)
    box.run(f"systemctl stop {AGENT}; test -s /var/lib/{AGENT}/backlog")
    start(box)
    wait_until("the backlog is read", lambda: not box.path(f"/var/lib/{AGENT}/backlog").exists())


def test_the_package_makes_the_user_while_an_older_agent_runs(box, endpoint):
    box.install(OLDER)
    start(box)
    endpoint.next()
    # What dpkg does: new files, then the script.
    box.install()
    box.write("/usr/lib/sysusers.d/heartbeat-agent.conf", (DEBIAN / "heartbeat-agent.sysusers").read_text())
    box.run(f"sh {DEBIAN}/postinst configure 0.1.0")
    endpoint.next(2)
    assert box.show(AGENT, "User") == AGENT and box.run(f"grep ^{AGENT}: /etc/passwd") != ""
    assert mode(box, "/etc/heartbeat/api-key") == "root:heartbeat-agent 640"
    box.run(f"sh {DEBIAN}/postinst configure 0.1.0; systemctl restart {AGENT}")
    endpoint.next()


def test_a_new_host_name_is_sent_under_the_same_id(box, endpoint):
    box.install()
    box.make_user()
    start(box)
    before = endpoint.next()
    box.run("hostname renamed")
    wait_until("the new name", lambda: endpoint.next()["hostname"] == "renamed")
    assert before["hostname"] != "renamed"
    assert {heartbeat["server_id"] for heartbeat in endpoint.heartbeats} == {"web-1"}


def test_without_a_place_for_the_backlog_the_agent_runs_without_one(box, endpoint):
    box.install()
    box.make_user()
    box.write(f"/var/lib/{AGENT}", "a file")
    start(box)
    endpoint.next(2)
    assert box.show(AGENT, "NRestarts") == "0"


def test_the_drop_in_of_the_documentation_reaches_a_hidden_disk(box, endpoint):
    box.install(settings=SETTINGS + "HEARTBEAT_ARGUMENTS=--disk /srv/hidden/disk\n")
    box.make_user()
    box.run("mkdir -p /srv/hidden/disk; chmod 700 /srv/hidden; mount -t tmpfs -o size=8M tmpfs /srv/hidden/disk")
    start(box)
    assert endpoint.next()["filesystems"] == []
    drop_in = (ROOT / "docs/agent.md").read_text().split("```ini\n")[1].split("```")[0]
    box.write(f"/etc/systemd/system/{AGENT}.service.d/override.conf", drop_in)
    box.run(f"systemctl daemon-reload; systemctl restart {AGENT}")
    wait_until("the disk", lambda: [disk["mount_point"] for disk in endpoint.next()["filesystems"]] == ["/srv/hidden/disk"])


@pytest.mark.parametrize("verb, is_leaving", [("poweroff", True), ("halt", True), ("reboot", False), ("kexec", False)])
def test_a_machine_that_is_switched_off_says_so_and_nothing_more(box, endpoint, verb, is_leaving):
    box.install()
    box.make_user()
    start(box)
    usual = endpoint.next(2)
    assert "leaving" not in usual
    # Neither a restart nor a stop is the end of a machine.
    box.run(f"systemctl restart {AGENT}")
    endpoint.next(2)
    box.run(f"systemctl start {verb}.target --job-mode=replace-irreversibly --no-block")
    box.ended()
    leaving = [number for number, heartbeat in enumerate(endpoint.heartbeats) if heartbeat.get("leaving")]
    if not is_leaving:
        assert leaving == []
        return
    assert leaving == [len(endpoint.heartbeats) - 1], endpoint.heartbeats
    last = endpoint.heartbeats[-1]
    same = ("server_id", "hostname", "server_guid", "boot_id", "agent_version")
    assert [last[name] for name in same] == [usual[name] for name in same]
    assert last["leaving"] is True and "metrics" not in last


def test_an_endpoint_that_hangs_does_not_hold_up_the_shutdown(box, endpoint):
    box.install()
    box.make_user()
    start(box)
    endpoint.next()
    endpoint.status = 503
    endpoint.next()
    box.run("systemctl poweroff --no-block")
    box.ended()
    assert [heartbeat.get("leaving") for heartbeat in endpoint.heartbeats].count(True) == 1


def test_every_unit_is_valid_and_the_agent_is_hardly_exposed(box):
    box.install()
    box.make_user()
    box.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\n", 0o755)
    shipped = [file.name.replace("@", "@backup") for file in DEBIAN.glob("*.*") if file.suffix in (".service", ".timer")]
    assert len(shipped) >= 6
    for unit in shipped:
        said = subprocess.run(box.enter("systemd-analyze", "verify", "--man=no", unit), capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (0, ""), unit
    (score,) = re.findall(r"exposure level for \S+: ([\d.]+)", box.run(f"systemd-analyze security --no-pager {AGENT}"))
    assert float(score) <= 2.0, score
