# Says what this machine is, a name and a value per line. Changes nothing.
say() {
    printf '%s %s\n' "$1" "$2"
}

say hostname "$(uname -n)"
say system "$(uname -s)"
say processor "$(uname -m)"
say bits "$(getconf LONG_BIT 2>/dev/null || :)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1 || :)"
say systemd "$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')"
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
    # Only root may ask systemd. Whoever needs a password for that is not asked for it here.
    if [ "$(id -u)" = 0 ]; then
        say installed_id "$(installed_id)"
    fi
fi
