"""Jobs, checks and the count of updates, as the agent reports them under a systemd that runs."""

import pytest
from conftest import wait_until

AGENT = "heartbeat-agent"
JOBS = "/var/lib/heartbeat-jobs"


@pytest.fixture
def machine(box, endpoint):
    """A machine whose agent sends, with two users."""
    box.install()
    box.make_user()
    box.run("useradd --uid 1001 alice; useradd --uid 1002 mallory")
    box.run(f"systemctl start {AGENT}")
    endpoint.next()
    box.endpoint = endpoint
    return box


def reasons(machine):
    """What has failed, and why, by the second next heartbeat: the next may have been read already."""
    services = machine.endpoint.next(2)["services"]
    assert {service["status"] for service in services} <= {"failed"}, services
    return {service["name"]: service.get("status_reason") for service in services}


def as_user(machine, user, script, check=True):
    machine.write("/tmp/script", script, 0o755)
    return machine.run(f"setpriv --reuid {user} --regid {user} --clear-groups sh /tmp/script", check)


def job(machine, user, name, script, flags=""):
    return as_user(machine, user, f"exec {AGENT} run {flags} {name} -- sh -c '{script}'", check=False)


def test_a_job_of_each_user_is_reported_until_it_ends_well(machine):
    assert machine.run(f"stat --format='%U:%G %a' {JOBS}").strip() == f"root:{AGENT} 3773"
    job(machine, "root", "backup", "echo repository is locked >&2; exit 1")
    assert job(machine, "alice", "photos", "echo copied; kill -9 $$") == "copied\n"
    assert reasons(machine) == {
        "job backup": "exit code 1: repository is locked",
        "job alice/photos": "ended by SIGKILL",
    }
    listed = machine.run(f"{AGENT} jobs")
    assert listed == "job backup: failed: exit code 1: repository is locked\njob alice/photos: failed: ended by SIGKILL\n"
    job(machine, "root", "backup", "exit 0")
    assert reasons(machine) == {"job alice/photos": "ended by SIGKILL"}
    as_user(machine, "alice", f"rm {JOBS}/1001-photos")
    assert reasons(machine) == {}


def test_a_run_that_was_killed_is_known_across_users_and_starts_of_the_agent(machine):
    machine.run(f"setpriv --reuid alice --regid alice --clear-groups {AGENT} run long -- sleep 300 >/dev/null 2>&1 & echo $! > /tmp/run")
    wait_until("the run", lambda: "started" in machine.run(f"cat {JOBS}/1001-long 2>/dev/null || :"))
    assert reasons(machine) == {}
    machine.run(f"kill -9 $(cat /tmp/run); systemctl restart {AGENT}")
    assert reasons(machine) == {"job alice/long": "killed"}
    machine.run("pkill -9 -u alice sleep")


def test_no_user_can_hide_forge_or_crowd_out_a_job_of_another(machine):
    job(machine, "root", "backup", "exit 1")
    job(machine, "alice", "photos", "exit 2")
    expected = {"job backup": "exit code 1", "job alice/photos": "exit code 2"}
    assert reasons(machine) == expected
    refused = as_user(
        machine,
        "mallory",
        f"""cd {JOBS}
        cat 0-backup && echo read; echo x > 0-backup && echo written; rm -f 0-backup 1001-photos; ls . && echo listed
        mv 0-backup x && echo moved; ln -f 0-backup 1002-linked && echo linked
        flock --nonblock 0-backup true && echo locked
        {AGENT} jobs && echo shown; :""",
    )
    assert refused == ""
    # Names of others, links, pipes, folders, sizes, and lines that would be others.
    as_user(
        machine,
        "mallory",
        f"""cd {JOBS}
        echo '{{"name":"forged","declared":0,"within":1}}' | tee 0-forged > 1001-forged
        mkfifo 1002-pipe 0-pipe; mkdir -p 0-folder/full 1002-folder; ln -s /etc/passwd 0-link; ln -s /dev/zero 1002-link
        head -c 5000 /dev/zero | tr '\\0' ' ' > 1002-large; : > '1002-a b'; : > "$(printf '1002-a\\nb')"; : > 01002-x
        {AGENT} run lines -- sh -c 'printf "a\\n{{}}\\033[2J\\nfilesystem / \\342\\200\\256" >&2; exit 1' 2>/dev/null; :""",
    )
    assert reasons(machine) == expected | {"job mallory/lines": "exit code 1: filesystem / \ufffd"}
    # Root's job takes its place whatever is there.
    for name in ("forged", "pipe", "folder", "link"):
        job(machine, "root", name, "exit 3")
        assert machine.run(f"stat --format='%U %a %s' {JOBS}/0-{name}").strip() == "root 640 1024"
        expected[f"job {name}"] = "exit code 3"
    assert "root:x:0:0" in machine.run("cat /etc/passwd")
    # At most two of a user, however many fail; and his files crowd out none of another's.
    as_user(machine, "mallory", f"for n in $(seq 150); do {AGENT} run x$n -- false; done; :")
    found = reasons(machine)
    assert found.pop("jobs") == "more than 100 files in /var/lib/heartbeat-jobs"
    assert sum(name.startswith("job mallory/") for name in found) == 2
    assert {name: found.get(name) for name in expected} == expected


def test_what_cannot_be_written_down_runs_all_the_same(machine):
    script = f"{AGENT} run backup -- sh -c 'echo out; exit 7' || echo $?"
    machine.run(f"mount -t tmpfs -o size=8k tmpfs {JOBS} && chmod 3773 {JOBS} && head -c 8192 /dev/zero > {JOBS}/full 2>/dev/null || :")
    assert machine.run(script) == "out\n7\n"
    assert machine.run(f"ls {JOBS}").split() == ["full"]
    # What was written before can be written over.
    machine.run(f"rm {JOBS}/full; {AGENT} run backup -- true; cat /dev/zero > {JOBS}/full 2>/dev/null || :")
    assert machine.run(script) == "out\n7\n"
    assert machine.run(f"{AGENT} jobs") == "job backup: failed: exit code 7\n"
    machine.run(f"umount {JOBS}; rm -rf {JOBS}")
    assert machine.run(script) == "out\n7\n"


def test_a_failed_unit_and_a_failed_check_say_why(machine):
    for name, command in (("code", "exit 3"), ("signal", "kill -9 $$$$")):
        machine.write(f"/etc/systemd/system/{name}.service", f"[Service]\nType=oneshot\nExecStart=/bin/sh -c '{command}'\n")
    machine.write("/etc/systemd/system/pre.service", "[Service]\nExecStartPre=/bin/false\nExecStart=/bin/true\n")
    machine.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\necho first of a long line; echo the newest file is 3 days old >&2; exit 1\n", 0o755)
    machine.run("systemctl daemon-reload; for unit in code signal pre heartbeat-check@backup; do systemctl start $unit || :; done")
    assert reasons(machine) == {
        "code": "exit code 3",
        "signal": "ended by SIGKILL",
        "pre": "a command of it failed",
        "backup": "exit code 1: the newest file is 3 days old",
    }
    machine.write("/etc/heartbeat/checks.d/backup", "#!/bin/sh\necho short; exit 2\n", 0o755)
    machine.run("systemctl start heartbeat-check@backup || :")
    assert reasons(machine)["backup"] == "exit code 2: short"


APT = """#!/bin/sh
[ "$*" = '-s --with-new-pkgs upgrade' ] || exit 1
[ "$(ls /sys/class/net)" = lo ] || exit 1
[ -z "$(ls /tmp | grep -v updates)" ] || exit 1
echo 'Inst base-files [12.4] (12.4+deb12u6 Debian:12.6/stable [amd64])'
echo 'Inst libc6 [2.36] (2.36-9+deb12u7 Debian:12.6/stable, Debian-Security:12/stable-security [amd64])'
echo 'Inst openssl [3.0] (3.0.1 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])'
echo 'Conf base-files (12.4+deb12u6 Debian:12.6/stable [amd64])'
"""
POLICY = "#!/bin/sh\necho '     release v=12,o=Debian,a=stable-security,n=bookworm-security,l=Debian-Security,c=main,b=amd64'\n"


def test_updates_are_counted_by_a_timer_of_the_agents(machine):
    assert machine.show("heartbeat-updates.timer", "ActiveState") == "active"
    fields = ("updates_available", "security_updates")

    def counted():
        machine.run("systemctl start heartbeat-updates")
        heartbeat = machine.endpoint.next(2)
        return tuple(heartbeat.get(field) for field in fields)

    machine.run("touch /var/lib/apt/lists/partial")
    # The real apt, whatever it knows here.
    assert isinstance(counted()[0], int)
    machine.write("/usr/bin/apt-get", APT, 0o755)
    machine.write("/usr/bin/apt-cache", POLICY, 0o755)
    assert counted() == (3, 2)
    machine.write("/usr/bin/apt-cache", "#!/bin/sh\necho ' release a=stable'\n", 0o755)
    assert counted() == (3, None)
    machine.run("touch --date='14 hours ago' /run/heartbeat/updates")
    assert "updates_available" not in machine.endpoint.next(2)
    machine.run("touch --date='4 days ago' /var/lib/apt/lists/partial; rm -f /var/lib/apt/periodic/*stamp")
    assert counted() == (None, None)
    # What fails leaves what was counted before.
    machine.run("touch /var/lib/apt/lists/partial")
    assert counted() == (3, None)
    machine.write("/usr/bin/apt-get", "#!/bin/sh\nexit 100\n", 0o755)
    machine.run("systemctl start heartbeat-updates || :")
    assert machine.endpoint.next(2)["updates_available"] == 3
    machine.run(f"systemctl stop {AGENT}")
    assert machine.show("heartbeat-updates.timer", "ActiveState") == "inactive"
