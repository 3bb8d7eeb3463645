# Installs the agent, and puts everything back as it was unless it is heard.
#
# It runs as a unit of systemd, so that it comes to an end even if the connection is lost. Its folder is what it shares with
# heartbeatctl. It writes to `said` what it does; lines that start with @ are for heartbeatctl. It waits for `key`, and then for
# `verdict`: `keep`, or `put back`. Without a verdict in time, it puts everything back.
umask 077
folder=$(dirname "$0")
unit=heartbeatctl-enroll
before=$etc/before
program=
is_changed=
is_alone=

if [ "${1-}" != run ]; then
    # One that an earlier connection has left puts everything back first.
    systemctl stop $unit 2>/dev/null || :
    # Whatever hangs, it is stopped in time.
    exec systemd-run --quiet --collect --unit=$unit --property="RuntimeMaxSec=$((wait + 300))" "$(command -v sh)" "$0" run
fi
exec >> "$folder/said" 2>&1 </dev/null

fail() {
    printf '@failed %s\n' "$1"
    exit 1
}

clean_up() {
    status=$?
    trap - EXIT
    trap '' HUP INT TERM
    [ -z "$is_changed" ] || put_back || :
    rm -rf "$before"
    rm -f "$folder/key" "$folder/heartbeat-agent" "$settings.new" "$key.new" "$units"/heartbeat-*.new
    [ -z "$program" ] || rm -f "$program.new"
    printf '@ended %s\n' "$status"
    # Else heartbeatctl reads the end of what was said, and removes it.
    [ -z "$is_alone" ] || rm -rf "$folder"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

pause() {
    sleep 0.2 2>/dev/null || sleep 1
}

# Waits for a file of heartbeatctl.
await() {
    left=$(($2 * 5))
    until [ -e "$folder/$1" ]; do
        left=$((left - 1))
        if [ "$left" -le 0 ] || ! [ -e "$folder" ]; then
            is_alone=yes
            fail 'heartbeatctl is gone'
        fi
        # Every two seconds.
        [ "$1" != verdict ] || [ $((left % 10)) != 0 ] || check_agent
        pause
    done
}

check_id() {
    [ -z "$must_be_installed" ] || { has_agent && [ "$(installed_id)" = "$server" ]; } ||
        fail "the id $server is in use, but no agent with it is installed here: choose another, or pass --replace"
}

# Starts the new program for a moment, with the new settings: it must run, and be this server.
check_program() {
    new=${program:+$program.new}
    new=${new:-$(installed_program)}
    said=$(env "$new" --version 2>&1) || fail "the program does not run here: $said"
    printed=$(with_settings "$settings.new" "$new" '$HEARTBEAT_ARGUMENTS' --print) || fail "the program does not run here: see above"
    id=$(printf '%s\n' "$printed" | printed_id)
    [ "$id" = "$server" ] ||
        fail "with its other settings, the agent would be $id, not $server: look for HEARTBEAT_ARGUMENTS in $settings"
    identity=$(printf '%s\n' "$printed" | grep -e '^  "hostname": ' -e '^  "server_guid": ' -e '^  "boot_id": ' | tr -d '\n')
    printf '@identity {%s}\n' "${identity%,}"
}

files() {
    printf '%s\n' "$settings" "$key"
    [ -z "$program" ] || {
        printf '%s\n' "$program"
        for name in $unit_names; do
            printf '%s\n' "$units/$name"
        done
    }
}

remember() {
    rm -rf "$before"
    mkdir "$before"
    for file in $(files); do
        [ ! -e "$file" ] || cp -p "$file" "$before/"
    done
    was_enabled=
    ! systemctl --quiet is-enabled heartbeat-agent 2>/dev/null || was_enabled=yes
    was_started=
    case $(systemctl is-active heartbeat-agent 2>/dev/null) in
        active | activating | reloading) was_started=yes ;;
    esac
}

put_back() {
    is_changed=
    [ -n "$was_enabled" ] || systemctl --quiet disable heartbeat-agent 2>/dev/null || :
    systemctl stop heartbeat-agent 2>/dev/null || :
    # An agent that is started again makes the folders again.
    systemctl stop heartbeat-folders 2>/dev/null || :
    rmdir /var/lib/heartbeat-jobs /run/heartbeat 2>/dev/null || :
    for file in $(files); do
        if [ -e "$before/${file##*/}" ]; then
            cp -p "$before/${file##*/}" "$file.new" && mv -f "$file.new" "$file"
        else
            rm -f "$file"
        fi
    done
    # Where systemd moves the state of an older unit back to, unless there is a folder.
    rmdir /var/lib/private/heartbeat-agent 2>/dev/null || :
    systemctl daemon-reload
    systemctl reset-failed heartbeat-agent 2>/dev/null || :
    [ -z "$was_started" ] || systemctl start heartbeat-agent
    tick 'put everything back as it was'
}

# Fails if the agent does not run, or runs with another key than the new one.
check_agent() {
    case $(systemctl show --property=SubState --value heartbeat-agent) in
        auto-restart* | failed | dead)
            systemctl status --no-pager --full --lines=10 heartbeat-agent || :
            reason=$(journalctl --unit=heartbeat-agent --output=cat --no-pager --lines=30 | sed -n 's/.*Main process exited, //p' | tail -n 1)
            fail "the agent does not run: $reason"
            ;;
    esac
    process=/proc/$(systemctl show --property=MainPID --value heartbeat-agent)
    if cat "$process/environ" "$process/cmdline" 2>/dev/null | tr '\0' '\n' |
        grep -q -e '^HEARTBEAT_API_KEY=.' -e '^--api-key-file'; then
        fail 'the agent does not use the new key: remove HEARTBEAT_API_KEY and --api-key-file from its settings and drop-ins'
    fi
}

check_id
mkdir -p -m 755 "$etc" "$units"
[ -z "$install_program" ] || copy_program
write_settings
check_program
make_user
tick "checked that the program runs here, as $server"
echo @prepared

await key 120
[ -s "$folder/key" ] || fail 'no key has arrived'
remember
is_changed=yes
put_in_place < "$folder/key"
rm -f "$folder/key"
echo @started

await verdict $((wait + 60))
if [ "$(cat "$folder/verdict")" != keep ]; then
    systemctl status --no-pager --full --lines=10 heartbeat-agent || :
    fail 'it was not heard'
fi
check_agent
is_changed=
