# Stops and removes the agent, with its settings, its key and its checks' timers. The user stays, because files of its may; and what
# an operator wrote, which is named.
trap 'rm -rf "$(dirname "$0")"' EXIT
if has_agent; then
    id=$(installed_id)
    [ "$id" = "$server" ] || fail "the agent that is installed is $id, not $server"
    systemctl disable --now heartbeat-agent || systemctl stop heartbeat-agent || fail 'the agent cannot be stopped'
    tick 'stopped heartbeat-agent'
else
    tick 'no agent is installed'
fi
for link in "$units"/*.wants/heartbeat-check@*; do
    [ ! -L "$link" ] || systemctl disable --now "${link##*/}" || rm -f "$link"
done
systemctl stop 'heartbeat-check@*.timer' heartbeat-updates.timer heartbeat-folders.service || :
rm -f "$key" "$key.old" "$key.new"
if has_package && command -v dpkg >/dev/null; then
    dpkg --purge heartbeat-agent
fi
rm -f /usr/local/bin/heartbeat-agent /opt/bin/heartbeat-agent "$settings" "$settings.new"
for unit in $unit_names; do
    rm -f "$units/$unit"
done
# What it could not send, and what it knows of jobs.
rm -rf "$etc/before" /var/lib/heartbeat-agent /var/lib/private/heartbeat-agent /var/lib/heartbeat-jobs /run/heartbeat
systemctl daemon-reload
systemctl reset-failed 'heartbeat-*' 2>/dev/null || :
rmdir "$etc/checks.d" "$etc" 2>/dev/null || :
tick 'removed the agent, its settings and its key'
left=$(find "$etc" "$units"/heartbeat-*.d -type f 2>/dev/null | sort | tr '\n' ' ') || :
[ -z "$left" ] || tick "left what others wrote: $left"
