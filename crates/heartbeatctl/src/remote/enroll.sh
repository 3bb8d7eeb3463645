# Installs the agent, in two steps that its arguments name. `prepare` installs the program unless there is a package, and
# writes the settings. `start` creates the key last, from its file or from standard input, and starts the agent.
#
# Whatever is replaced is replaced at once, by a rename. If a step fails, the agent has the key that it had before.
umask 077
folder=$(dirname "$0")
is_key_replaced=

clean_up() {
    status=$?
    trap - EXIT
    if [ "$status" != 0 ]; then
        rm -f "$local_program.new" "$units"/*.service.new "$units"/*.timer.new "$settings.new" "$key.new"
        if [ -n "$is_key_replaced" ]; then
            if [ -e "$key.old" ]; then
                mv -f "$key.old" "$key"
                systemctl restart heartbeat-agent || :
            else
                rm -f "$key"
                systemctl stop heartbeat-agent || :
            fi
        fi
        rm -f "$key.old"
        rm -rf "$folder"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

check_id() {
    [ -z "$must_be_installed" ] || { has_agent && [ "$(installed_id)" = "$server" ]; } ||
        fail "the id $server is in use, but no agent with it is installed here: choose another, or pass --replace"
}

# Replaces a file by standard input.
replace() {
    cat > "$1.new"
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
}

prepare() {
    check_id
    if [ -n "$install_program" ]; then
        mkdir -p -m 755 /usr/local/bin "$units"
        cat "$folder/heartbeat-agent" > "$local_program.new"
        chmod 755 "$local_program.new"
        "$local_program.new" --version >/dev/null || fail 'the program does not run here'
        mv -f "$local_program.new" "$local_program"
        write_units
        tick "installed the program in /usr/local/bin, and its units in $units"
    fi
    mkdir -p -m 755 "$etc"
    {
        if [ -e "$settings" ]; then
            grep -v -e '^HEARTBEAT_URL=' -e '^HEARTBEAT_SERVER_ID=' -e '^HEARTBEAT_API_KEY=' "$settings" || :
        else
            echo '# Settings of heartbeat-agent. See heartbeat-agent --help.'
        fi
        printf 'HEARTBEAT_URL=%s\nHEARTBEAT_SERVER_ID=%s\n' "$url" "$server"
    } | replace "$settings" 640
    tick "wrote $settings"
}

start() {
    if [ -e "$folder/key" ]; then
        cat "$folder/key" > "$key.new"
    else
        cat > "$key.new"
    fi
    [ -s "$key.new" ] || fail 'no key has arrived'
    [ ! -e "$key" ] || cp -p "$key" "$key.old"
    is_key_replaced=yes
    mv -f "$key.new" "$key"
    tick "wrote $key"
    systemctl daemon-reload
    systemctl enable heartbeat-agent
    systemctl restart heartbeat-agent
    tick 'started heartbeat-agent'
    is_key_replaced=
    rm -f "$key.old"
    rm -rf "$folder"
}

for step in "$@"; do
    "$step"
done
