# What all scripts for a machine know.
set -eu
etc=/etc/heartbeat
settings=$etc/agent.env
key=$etc/api-key
local_program=/usr/local/bin/heartbeat-agent
units=/etc/systemd/system

has_package() {
    [ -x /usr/bin/heartbeat-agent ] ||
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' heartbeat-agent 2>/dev/null)" = installed ]
}

has_agent() {
    has_package || [ -e "$local_program" ] || [ -e "$units/heartbeat-agent.service" ]
}

# The id of the agent that is installed: the one in its settings, else the host name as the agent cleans it.
installed_id() {
    id=
    [ ! -e "$settings" ] || id=$(sed -n 's/^HEARTBEAT_SERVER_ID=//p' "$settings" | tail -n 1)
    [ -n "$id" ] || id=$(uname -n | tr 'A-Z' 'a-z' | tr -c 'a-z0-9\n' '-' | cut -c 1-100)
    printf '%s\n' "$id"
}

tick() {
    printf '✓ %s: %s\n' "$host" "$1"
}

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}
