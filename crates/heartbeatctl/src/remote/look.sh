# Says what this machine is, a name and a value per line. Changes nothing.
say() {
    printf '%s %s\n' "$1" "$2"
}

say hostname "$(uname -n)"
say system "$(uname -s)"
say processor "$(uname -m)"
say bits "$(getconf LONG_BIT 2>/dev/null || :)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1 || :)"
if [ -d /run/systemd/system ] || systemctl list-units >/dev/null 2>&1; then
    say has_systemd yes
fi
if [ "$(id -u)" = 0 ]; then
    say is_root yes
elif command -v sudo >/dev/null; then
    say has_sudo yes
fi
if has_package; then
    say has_package yes
fi
if has_agent; then
    say has_agent yes
    # Only root can read the settings. Whoever needs a password for that is not asked for it here.
    if [ ! -e "$settings" ] || [ -r "$settings" ]; then
        say installed_id "$(installed_id)"
    elif id=$(sudo -n sed -n 's/^HEARTBEAT_SERVER_ID=//p' "$settings" 2>/dev/null | tail -n 1) && [ -n "$id" ]; then
        say installed_id "$id"
    fi
fi
