# Stops and removes the agent, with its settings and its key.
trap 'rm -rf "$(dirname "$0")"' EXIT
if ! has_agent; then
    rm -f "$key" "$key.old"
    tick 'no agent is installed'
    exit
fi
[ "$(installed_id)" = "$server" ] || fail "the agent that is installed is $(installed_id), not $server"
systemctl disable --now heartbeat-agent || systemctl stop heartbeat-agent || fail 'the agent cannot be stopped'
# What it could not send.
systemctl clean --what=state heartbeat-agent || :
tick 'stopped heartbeat-agent'
rm -f "$key" "$key.old"
if has_package && command -v dpkg >/dev/null; then
    dpkg --purge heartbeat-agent
fi
rm -f "$local_program" "$settings"
for unit in heartbeat-agent.service heartbeat-check@.service heartbeat-check@.timer; do
    rm -f "$units/$unit"
done
systemctl daemon-reload
# Checks of its owner stay.
rmdir "$etc" 2>/dev/null || :
tick 'removed the agent, its settings and its key'
