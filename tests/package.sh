#!/usr/bin/env bash
# Installs the agent's Debian package into a folder, inspects it, starts what it installed, and removes it.
set -euo pipefail

package=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/var/lib/dpkg"/{info,updates} "$root/etc"
touch "$root/var/lib/dpkg/status"
dpkg_in_root() { dpkg --root="$root" --force-depends --force-script-chrootless --no-triggers "$@"; }
fail() { echo "package: $*" >&2; exit 1; }

dpkg-deb --field "$package" Conffiles >/dev/null

# The highest version that a symbol of the program asks for.
needed=$(dpkg-deb --fsys-tarfile "$package" | tar --extract --to-stdout ./usr/bin/heartbeat-agent |
    grep --text --only-matching 'GLIBC_[0-9.]*[0-9]' | sort --version-sort --unique | tail -1)
named=$(dpkg-deb --field "$package" Depends | sed --quiet 's/.*libc6 (>= \([0-9.]*\).*/\1/p')
dpkg --compare-versions "${named:-0}" ge "${needed#GLIBC_}" ||
    fail "it needs $needed, and names libc6 ${named:-in any version}"

dpkg_in_root --install "$package" >/dev/null
[ "$(stat -c %a "$root/etc/heartbeat/agent.env")" = 640 ] || fail "agent.env can be read by everybody"
[ "$(stat -c %a "$root/usr/bin/heartbeat-agent")" = 755 ] || fail "the agent cannot be run"
unit=$(find "$root" -name heartbeat-agent.service)
[ -n "$unit" ] || fail "there is no unit"
for other in heartbeat-check@.service heartbeat-check@.timer heartbeat-folders.service heartbeat-updates.service heartbeat-updates.timer; do
    [ -e "$(dirname "$unit")/$other" ] || fail "there is no $other"
done
grep --quiet '^heartbeat-agent:' "$root/etc/passwd" || fail "its user is not made"
if command -v systemd-analyze >/dev/null; then
    sed "s#/usr/bin/heartbeat-agent#$root&#" "$unit" > "$root/heartbeat-agent.service"
    said=$(systemd-analyze verify --man=no "$root/heartbeat-agent.service" 2>&1) || fail "$said"
    [ -z "$said" ] || fail "$said"
elif [ "${CI:-}" = true ]; then
    fail "it needs systemd-analyze"
else
    echo "skipped: needs systemd-analyze"
fi
"$root/usr/bin/heartbeat-agent" --print | grep --quiet '"memory_total_mb"' || fail "the agent reads nothing"

echo 'HEARTBEAT_INTERVAL=30' >> "$root/etc/heartbeat/agent.env"
dpkg_in_root --remove heartbeat-agent >/dev/null
[ ! -e "$root/usr/bin/heartbeat-agent" ] || fail "the agent was not removed"
grep --quiet HEARTBEAT_INTERVAL=30 "$root/etc/heartbeat/agent.env" || fail "a removal takes the settings along"
dpkg_in_root --purge heartbeat-agent >/dev/null
[ ! -e "$root/etc/heartbeat/agent.env" ] || fail "a purge leaves the settings behind"
echo "package test passed"
