//! Machines that no test has: their files were recorded, and take the place of this machine's. ZFS and the clouds' network
//! cards have not been tried otherwise.

use crate::namespace::Machine;
use crate::support::Endpoint;
use dev::command::{run, stop, wait_until};
use serde_json::Value;
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

#[test]
fn a_virtual_function_below_a_physical_interface_is_counted_once() {
    let script = format!(
        "{PROC}
        echo '  lo: 7 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0
          eth0: 1000 0 0 0 0 0 0 0 2000 0 0 0 0 0 0 0
          enP1s1: 999 0 0 0 0 0 0 0 1999 0 0 0 0 0 0 0
          eth1: 30 0 0 0 0 0 0 0 40 0 0 0 0 0 0 0
          bond0: 30 0 0 0 0 0 0 0 40 0 0 0 0 0 0 0' > proc/net/dev
        mount -t tmpfs tmpfs /sys/class/net
        mkdir -p /sys/class/net/lo /sys/class/net/bond0
        for name in eth0 enP1s1 eth1; do mkdir -p /sys/class/net/$name/device; done
        ln -s ../eth0 /sys/class/net/enP1s1/master
        ln -s ../bond0 /sys/class/net/eth1/master
        replace_proc"
    );
    let Some(machine) = Machine::start("virtual-function", &script) else {
        return;
    };
    let (metrics, _) = printed(&machine);
    let bytes = (&metrics["network_rx_bytes"], &metrics["network_tx_bytes"]);
    assert_eq!(bytes, (&1030.into(), &2040.into()));
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
    assert_eq!(next("130 0 0 170 0 0 0 0"), 30.0);
    assert_eq!(next("130 0 0 170 0 0 0 18446744073709551000"), Value::Null);
    assert_eq!(next("140 0 0 180 0 0 0 18446744073709551000"), 50.0);
    assert_eq!(next("140 0 0 180 0 0 0 5"), Value::Null);
    assert_eq!(next("150 0 0 180 0 0 0 5"), 100.0);
    let ended = stop(child);
    assert_eq!(ended.code, 0, "{ended:?}");
}
