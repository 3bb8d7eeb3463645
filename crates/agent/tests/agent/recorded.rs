//! Machines that no test has: their files were recorded, and take the place of this machine's. ZFS and the clouds' network
//! cards have not been tried otherwise.

use crate::namespace::Machine;
use crate::support::Endpoint;
use dev::command::{run, stop, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;

/// A script that replaces `/proc` by a folder `proc` with what the agent reads.
const PROC: &str = "
    mkdir -p proc/self proc/net proc/spl/kstat/zfs
    for file in stat meminfo loadavg uptime self/mountinfo net/dev; do cat /proc/$file > proc/$file; done
    replace_proc() { mount --bind proc /proc; }
";

fn printed(machine: &Machine) -> (Value, String) {
    let run = run(machine.agent().arg("--print"));
    (run.json()["metrics"].clone(), run.stderr)
}

#[test]
fn the_cache_of_zfs_is_available_but_not_in_a_container() {
    for (name, mount, percent) in [
        ("arc", "", 27.9),
        (
            "arc-in-a-container",
            "echo '90 1 0:70 / /proc/meminfo rw - fuse.lxcfs lxcfs rw' >> proc/self/mountinfo",
            92.0,
        ),
    ] {
        let script = format!(
            "{PROC}
            printf 'MemTotal: 32768000 kB\\nMemAvailable: 2621440 kB\\n' > proc/meminfo
            printf 'name type data\\nc_min 4 1048576000\\nsize 4 22548578304\\n' > proc/spl/kstat/zfs/arcstats
            {mount}
            replace_proc"
        );
        let Some(machine) = Machine::start(name, &script) else {
            return;
        };
        let (metrics, said) = printed(&machine);
        assert_eq!(metrics["memory_percent"], percent, "{name}: {metrics} {said}");
    }
}

// Each dataset is as large as what it holds and what the pool has left; here, a tmpfs of that size stands for it.
#[test]
fn the_datasets_of_a_pool_count_together() {
    let script = format!(
        "{PROC}
        mount -t tmpfs -o size=3M tmpfs /mnt
        dd if=/dev/zero of=/mnt/file bs=1M count=2 status=none
        number=0
        while [ $number -lt 8 ]; do
            number=$((number + 1))
            mkdir -p /mnt/$number
            mount -t tmpfs -o size=3M tmpfs /mnt/$number
            dd if=/dev/zero of=/mnt/$number/file bs=1M count=2 status=none
            echo \"$((100 + number)) 1 0:$((100 + number)) / /mnt/$number rw - zfs tank/$number rw,xattr,noacl\"
        done > proc/datasets
        echo '100 1 0:100 / /mnt rw - zfs tank rw,xattr,noacl' | cat - proc/datasets > proc/self/mountinfo
        replace_proc"
    );
    let Some(machine) = Machine::start("pool", &script) else {
        return;
    };
    let (metrics, said) = printed(&machine);
    // 18 MiB of 19.
    assert_eq!(metrics["disk_percent"], 94.7, "{metrics} {said}");
    assert!(!said.contains("disk"), "{said}");
}

/// A machine with these interfaces: received bytes (twice as many are sent), and the files and links of their folders.
fn with_interfaces(name: &str, interfaces: &[(&str, u64, &str)]) -> Option<(u64, u64)> {
    let line = |(name, bytes, _): &(&str, u64, &str)| {
        format!(
            "echo '{name}: {bytes} 0 0 0 0 0 0 0 {} 0 0 0 0 0 0 0' >> proc/net/dev\n",
            bytes * 2
        )
    };
    let folder = |(name, _, files): &(&str, u64, &str)| {
        format!("(mkdir /sys/class/net/{name}; cd /sys/class/net/{name}; {files})\n")
    };
    let script = format!(
        "{PROC}
        : > proc/net/dev
        mount -t tmpfs tmpfs /sys/class/net
        {}{}replace_proc",
        interfaces.iter().map(line).collect::<String>(),
        interfaces.iter().map(folder).collect::<String>()
    );
    let (metrics, said) = printed(&Machine::start(name, &script)?);
    let bytes = |name: &str| metrics[name].as_u64().unwrap_or_else(|| panic!("{metrics} {said}"));
    Some((bytes("network_rx_bytes"), bytes("network_tx_bytes")))
}

#[test]
fn each_byte_of_the_network_is_counted_once() {
    for (name, interfaces, received) in [
        (
            "virtual-function",
            &[
                ("lo", 7, ":"),
                ("eth0", 1000, "mkdir device; ln -s ../enP1s1 lower_enP1s1"),
                ("enP1s1", 999, "mkdir device; ln -s ../eth0 master"),
                ("eth1", 30, "mkdir device; ln -s ../bond0 master"),
                ("bond0", 30, "echo DEVTYPE=bond > uevent; ln -s ../eth1 lower_eth1"),
            ][..],
            1030,
        ),
        (
            // A router: what its ports carry goes through one interface to the processor.
            "switch",
            &[
                ("eth0", 500, "mkdir device"),
                ("lan1", 200, "mkdir device; ln -s ../eth0 lower_eth0; ln -s ../br-lan master"),
                ("lan2", 300, "mkdir device; ln -s ../eth0 lower_eth0; ln -s ../br-lan master"),
                ("br-lan", 400, "echo DEVTYPE=bridge > uevent; ln -s ../lan1 lower_lan1"),
                ("wlan0", 50, "mkdir device; echo DEVTYPE=wlan > uevent; ln -s ../br-lan master"),
            ],
            550,
        ),
        (
            "representors",
            &[
                ("enp1s0f0", 1000, "mkdir device; echo p0 > phys_port_name"),
                ("eth0", 600, "mkdir device; echo pf0vf0 > phys_port_name"),
            ],
            1000,
        ),
        (
            "container-of-containers",
            &[
                ("lo", 7, ":"),
                ("eth0", 100, "echo INTERFACE=eth0 > uevent"),
                ("eth0.5", 40, "echo DEVTYPE=vlan > uevent; ln -s ../eth0 lower_eth0"),
                ("docker0", 60, "echo DEVTYPE=bridge > uevent; ln -s ../vetha lower_vetha"),
                ("vetha", 60, ": > uevent; ln -s ../docker0 master"),
                ("wg0", 20, "echo DEVTYPE=wireguard > uevent"),
                ("tun0", 10, ": > uevent; echo 0x1001 > tun_flags"),
            ],
            100,
        ),
        (
            "bridged-container",
            &[
                ("br0", 90, "echo DEVTYPE=bridge > uevent; ln -s ../eth0 lower_eth0"),
                ("eth0", 100, ": > uevent; ln -s ../br0 master"),
            ],
            100,
        ),
    ] {
        let Some(bytes) = with_interfaces(name, interfaces) else {
            return;
        };
        assert_eq!(bytes, (received, received * 2), "{name}");
    }
}

// Behind FUSE, as in a container whose host's lxcfs hangs; a sensor whose driver does.
#[test]
fn a_file_that_never_answers_is_left_out_and_said_once() {
    for (file, what, absent) in [
        ("proc/loadavg", "load average", "load_1m"),
        ("proc/stat", "CPU", "cpu_percent"),
        ("proc/meminfo", "memory", "memory_percent"),
        ("proc/uptime", "uptime", "uptime_seconds"),
        ("proc/net/dev", "network", "network_rx_bytes"),
        ("proc/self/mountinfo", "disk", "disk_percent"),
        ("hwmon/hwmon0/temp1_input", "temperature", "temperature_celsius"),
    ] {
        let script = format!(
            "{PROC}
            mkdir -p hwmon/hwmon0; echo coretemp > hwmon/hwmon0/name
            rm -f {file}; mkfifo {file}
            if [ -d /sys/class/hwmon ]; then mount --bind hwmon /sys/class/hwmon
            else mount -t tmpfs tmpfs /sys/class; cp -r hwmon /sys/class; fi
            replace_proc"
        );
        let Some(machine) = Machine::start(&format!("hung-{absent}"), &script) else {
            return;
        };
        let started = std::time::Instant::now();
        let endpoint = Endpoint::start(vec![]);
        let mut agent = machine.agent();
        agent
            .args(["--interval", "1", "--url", &endpoint.url])
            .env("HEARTBEAT_API_KEY", "key-1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = agent.spawn().unwrap();
        wait_until("heartbeats", || endpoint.received().len() >= 3);
        let ended = stop(child);
        let said = format!("not read: {what}: it does not answer");
        let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("answer")).collect();
        assert_eq!(lines, [said], "{ended:?}");
        for heartbeat in endpoint.received() {
            let metrics = heartbeat.body["metrics"].as_object().unwrap();
            assert!(metrics.get(absent).is_none() && metrics.len() >= 5, "{file}: {metrics:?}");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{file}");
    }
}

#[test]
fn a_restart_is_not_known_to_be_required_where_nothing_would_ask_for_one() {
    let script = "
        mount -t tmpfs tmpfs /etc; mkdir -p /etc/kernel/postinst.d
        mount -t tmpfs tmpfs /usr/share
        mount -t tmpfs tmpfs /run";
    let Some(machine) = Machine::start("restart-required", script) else {
        return;
    };
    let required = || printed(&machine).0["reboot_required"].clone();
    assert_eq!(required(), Value::Null);
    machine.run(": > /etc/kernel/postinst.d/unattended-upgrades");
    assert_eq!(required(), false);
    machine.run(": > /run/reboot-required");
    assert_eq!(required(), true);
    machine.run("rm /etc/kernel/postinst.d/unattended-upgrades");
    assert_eq!(required(), true);
}

// The id stays, because it names the server in all that is stored.
#[test]
fn a_host_name_that_changes_is_sent_under_the_id_that_it_had() {
    let Some(machine) = Machine::start("renamed", "hostname before") else {
        return;
    };
    let endpoint = Endpoint::start(vec![]);
    let mut agent = machine.in_all("\"$0\" --interval 1");
    agent.env("HEARTBEAT_URL", &endpoint.url).env("HEARTBEAT_API_KEY", "key-1");
    let child = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let last = || endpoint.received().last().map(|one| one.body.clone()).unwrap_or_default();
    wait_until("the first name", || last()["hostname"] == "before");
    machine.in_all("hostname after").status().unwrap();
    wait_until("the new name", || last()["hostname"] == "after");
    assert_eq!(last()["server_id"], "before");
    stop(child);
}

#[test]
fn counters_of_the_processors_that_jump_are_left_out_for_that_heartbeat() {
    let Some(machine) = Machine::start("jump", &format!("{PROC} replace_proc")) else {
        return;
    };
    let write = |ticks: &str| {
        let (new, file) = (machine.folder.join("proc/new"), machine.folder.join("proc/stat"));
        fs::write(&new, format!("cpu  {ticks} 0 0\ncpu0 {ticks} 0 0\n")).unwrap();
        fs::rename(new, file).unwrap();
    };
    write("100 0 0 100 0 0 0 0");
    let endpoint = Endpoint::start(vec![]);
    let mut agent = machine.agent();
    agent
        .args(["--interval", "1", "--url", &endpoint.url])
        .env("HEARTBEAT_API_KEY", "key-1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = agent.spawn().unwrap();
    let next = |ticks: &str| {
        let before = endpoint.received().len();
        write(ticks);
        wait_until("a heartbeat", || endpoint.received().len() > before);
        endpoint.received()[before].body["metrics"]["cpu_percent"].clone()
    };
    let first = next("100 0 0 100 0 0 0 0");
    assert_eq!(first, Value::Null, "nothing has happened yet");
    // More than the ticks of a heartbeat, which may come late.
    assert_eq!(next("190 0 0 310 0 0 0 0"), 30.0);
    assert_eq!(next("190 0 0 310 0 0 0 18446744073709551000"), Value::Null);
    assert_eq!(next("340 0 0 460 0 0 0 18446744073709551000"), 50.0);
    assert_eq!(next("340 0 0 460 0 0 0 5"), Value::Null);
    assert_eq!(next("640 0 0 460 0 0 0 5"), 100.0);
    assert_eq!(next("660 0 0 460 0 0 0 5"), Value::Null, "idle stands still");
    let ended = stop(child);
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// The services of a machine whose `/proc` and `/sys` have these files besides.
fn services(name: &str, files: &str) -> Option<Value> {
    let script = format!(
        "{PROC}
        mkdir -p proc/self/ns btrfs; ln -s 'pid:[4026531836]' proc/self/ns/pid
        mount -t tmpfs tmpfs /sys/fs; mkdir -p /sys/fs/btrfs; mount -t tmpfs tmpfs /srv; mkdir -p /srv/b
        {files}
        cp -r btrfs /sys/fs
        replace_proc"
    );
    let machine = Machine::start(name, &script)?;
    let run = run(machine.agent().arg("--print"));
    Some(run.json()["services"].clone())
}

const ARRAYS: &str = "
    printf 'Personalities : [raid1]\\nmd0 : active raid1 sdb1[1] sda1[0](F)\\n      1046528 blocks super 1.2 [2/1] [_U]\\n' > proc/mdstat
    for pool in tank:DEGRADED rpool:ONLINE; do
        mkdir proc/spl/kstat/zfs/${pool%:*}; echo ${pool#*:} > proc/spl/kstat/zfs/${pool%:*}/state
    done
    for pool in a:data:1 b::1 c:well:0; do
        folder=btrfs/${pool%%:*}; label=${pool#*:}
        mkdir -p $folder/devinfo/1 $folder/devinfo/2 $folder/devices/sd${pool%%:*}
        echo ${label%:*} > $folder/label; echo 0 > $folder/devinfo/1/missing; echo ${label#*:} > $folder/devinfo/2/missing
    done
    echo '90 1 0:90 / /srv/longer/point rw - btrfs /dev/sdb rw' >> proc/self/mountinfo
    echo '91 1 0:90 / /srv/b rw - btrfs /dev/sdb rw' >> proc/self/mountinfo
";

#[test]
fn an_array_and_a_pool_that_lack_a_disk_have_failed_but_not_in_a_container() {
    let Some(found) = services("arrays", ARRAYS) else {
        return;
    };
    let failed = |name: &str, reason: &str| json!({ "name": name, "status": "failed", "status_reason": reason });
    let expected = json!([
        failed("array md0", "1 of 2 devices"),
        failed("pool tank", "DEGRADED"),
        failed("pool data", "1 of 2 devices"),
        failed("pool /srv/b", "1 of 2 devices"),
    ]);
    assert_eq!(found, expected);
    let container = format!("{ARRAYS}\nln -sf 'pid:[4026532200]' proc/self/ns/pid");
    assert_eq!(services("arrays-in-a-container", &container), Some(Value::Null));
    assert_eq!(services("no-arrays", ""), Some(Value::Null));
}
