#!/bin/bash
# Boots systemd as process 1 of namespaces of its own, on a copy-on-write view of this machine's root: box.sh FOLDER [CAPABILITIES]
#
# Needs root. CAPABILITIES are taken away from all of it. What it says is in FOLDER.log. It ends with its process 1.
set -e
folder=$1 drop=$2
mkdir -p "$folder"
group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)/heartbeat-box-$$
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"
export folder drop
exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup bash -ec '
    mount -t tmpfs -o mode=755 tmpfs "$folder"
    root=$folder/root
    mkdir -p "$folder/upper" "$folder/work" "$root"
    mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    if ! mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" 2>/dev/null; then
        mount -t tmpfs tmpfs "$root/sys/fs"
        mkdir -p "$root/sys/fs/cgroup"
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    fi
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    # Devices of its own: systemd and what it starts may change their owners and modes. The console goes nowhere.
    mknod -m 666 "$root/dev/null" c 1 3
    mknod -m 666 "$root/dev/zero" c 1 5
    mknod -m 666 "$root/dev/full" c 1 7
    mknod -m 666 "$root/dev/random" c 1 8
    mknod -m 666 "$root/dev/urandom" c 1 9
    mknod -m 666 "$root/dev/tty" c 5 0
    mknod -m 600 "$root/dev/console" c 1 3
    mkdir -p "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /run/systemd/journal/dev-log "$root/dev/log"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mkdir -p "$root/run/lock"
    hostname box
    ip link set lo up
    # Nothing of this machine is started there, and nothing that needs its hardware.
    units=$root/etc/systemd/system
    mkdir -p "$units"
    rm -rf "$units"/*.wants "$units"/heartbeat-* "$root"/etc/heartbeat "$root"/var/lib/heartbeat-agent
    printf "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=dbus.service multi-user.target\nAllowIsolate=yes\n" > "$units/box.target"
    printf "[Unit]\nRequires=basic.target\nAllowIsolate=yes\n" > "$units/multi-user.target"
    for unit in systemd-{tmpfiles-setup,tmpfiles-setup-dev,tmpfiles-clean,udevd,udev-trigger,timesyncd,remount-fs,logind,modules-load,sysctl,random-seed,pstore,update-utmp,update-utmp-runlevel,binfmt,firstboot,sysusers,journal-flush}.service \
        systemd-udevd-{kernel,control}.socket systemd-tmpfiles-clean.timer kmod-static-nodes.service e2scrub_reap.service \
        tmp.mount getty.target console-getty.service sys-kernel-{debug,tracing,config}.mount dev-{hugepages,mqueue}.mount proc-sys-fs-binfmt_misc.automount; do
        ln -sf /dev/null "$units/$unit"
    done
    : > "$root/etc/fstab"
    echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
    cd "$root"
    mkdir -p old
    pivot_root . old
    umount -l /old
    cd /
    mount --make-rshared /
    exec setpriv ${drop:+--bounding-set "$drop" --inh-caps "$drop"} env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /usr/lib/systemd/systemd --unit=box.target --log-target=journal --show-status=0
' >"$folder.log" 2>&1 </dev/null
