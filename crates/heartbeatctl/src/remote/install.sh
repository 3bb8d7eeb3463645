# What the scripts that install the agent share.
# Replaces a file by standard input, at once.
replace() {
    cat > "$1.new"
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
}

copy_program() {
    for candidate in /usr/local/bin /opt/bin; do
        program=$candidate/heartbeat-agent
        if { mkdir -p -m 755 "$candidate" && cat "$folder/heartbeat-agent" > "$program.new"; } 2>/dev/null; then
            chmod 755 "$program.new"
            return
        fi
    done
    program=
    fail 'neither /usr/local/bin nor /opt/bin can be written to'
}

write_settings() {
    {
        if [ -e "$settings" ]; then
            grep -v -e '^[[:space:]]*HEARTBEAT_URL=' -e '^[[:space:]]*HEARTBEAT_SERVER_ID=' \
                -e '^[[:space:]]*HEARTBEAT_API_KEY=' "$settings" | sed '$s/\\$//'
        else
            echo '# Settings of heartbeat-agent. See heartbeat-agent --help.'
        fi
        printf 'HEARTBEAT_URL=%s\nHEARTBEAT_SERVER_ID=%s\n' "$url" "$server"
    } > "$settings.new"
    chmod 640 "$settings.new"
}

# Whether the user is known to everybody. An agent of an older version runs as a dynamic user of this name.
has_user() {
    uid=$(id -u $agent_user 2>/dev/null) && { [ "$uid" -lt 61184 ] || [ "$uid" -gt 65519 ]; }
}

create_user() {
    echo "u $agent_user - \"Heartbeat agent\"" | systemd-sysusers - 2>/dev/null || :
    has_user || useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin $agent_user 2>/dev/null || :
}

make_user() {
    has_user || create_user
    if ! has_user && systemctl --quiet is-active heartbeat-agent; then
        # While it runs, no other user of its name can be made.
        systemctl stop heartbeat-agent
        create_user
        systemctl start heartbeat-agent
    fi
    has_user || fail "the user $agent_user cannot be made: neither systemd-sysusers nor useradd does it"
}

# Puts everything where it belongs: the program that was copied, if one was, with its units, the settings, and the key from
# standard input. Starts the agent with them.
put_in_place() {
    if [ -n "$program" ]; then
        mv -f "$program.new" "$program"
        write_units
        tick "installed $program, and its units in $units"
    fi
    mv -f "$settings.new" "$settings"
    tick "wrote $settings"
    cat > "$key.new"
    chown root:$agent_user "$key.new"
    chmod 640 "$key.new"
    mv -f "$key.new" "$key"
    tick "wrote $key"
    systemctl daemon-reload
    systemctl --quiet enable heartbeat-agent
    systemctl restart heartbeat-agent
    tick 'started heartbeat-agent'
}
