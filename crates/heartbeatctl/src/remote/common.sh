# What all scripts for a machine know.
set -eu
etc=/etc/heartbeat
settings=$etc/agent.env
key=$etc/api-key
units=/etc/systemd/system
agent_user=heartbeat-agent

has_package() {
    [ -x /usr/bin/heartbeat-agent ] ||
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' heartbeat-agent 2>/dev/null)" = installed ]
}

# The program that is installed.
installed_program() {
    for file in /usr/bin/heartbeat-agent /usr/local/bin/heartbeat-agent /opt/bin/heartbeat-agent; do
        if [ -x "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

has_agent() {
    has_package || [ -n "$(installed_program)" ] || [ -e "$units/heartbeat-agent.service" ]
}

# Runs a command with what systemd makes of a file of settings, which may quote, continue and indent.
with_settings() {
    file=$1
    shift
    systemd-run --quiet --pipe --wait --collect --property="EnvironmentFile=-$file" --property=RuntimeMaxSec=20 "$@" </dev/null
}

# The id in what the agent prints.
printed_id() {
    sed -n 's/^ *"server_id": "\([a-z0-9-]*\)",\{0,1\}$/\1/p' | head -n 1
}

# The id of the agent that is installed: as itself says, else the one in its settings, else the host name as it cleans it.
installed_id() {
    program=$(installed_program)
    id=
    [ -z "$program" ] || id=$(with_settings "$settings" "$program" '$HEARTBEAT_ARGUMENTS' --print 2>/dev/null | printed_id)
    [ -n "$id" ] || id=$(with_settings "$settings" /bin/echo '${HEARTBEAT_SERVER_ID}' 2>/dev/null) || :
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
