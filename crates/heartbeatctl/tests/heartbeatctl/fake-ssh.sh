#!/bin/bash
# An ssh that reaches the machines in $MACHINES/machines: each is a folder, and a command runs in a mount namespace, as root.
# A folder with a whole system is the root of the command. Of any other, some folders take the place of this machine's.
#
# It takes the options that heartbeatctl passes, and fails on others. BREAK_BEFORE and BREAK_AFTER number the call before or
# after which the connection breaks, and HANG the one that never ends.
printf '%s\n' "$*" >> "$MACHINES/ssh.log"
while [ "$1" != -- ]; do
    case $1 in
        -o) [ "$2" != "${2#Control}" ] || exit 99; shift 2;;
        -O) exit 0;;
        -t) shift;;
        *) exit 99;;
    esac
done
export MACHINE=$MACHINES/machines/${2#*@} COMMAND=$3
if ! [ -d "$MACHINE" ]; then
    echo "ssh: connect to host $2 port 22: Connection refused" >&2
    exit 255
fi
number() { cat "$MACHINES/$1" 2>/dev/null || echo 0; }
call=$(($(number calls) + 1))
echo $call > "$MACHINES/calls"
[ $call != "$(number HANG)" ] || exec sleep 600
if [ $call = "$(number BREAK_BEFORE)" ]; then
    cat > /dev/null
    exit 255
fi
unshare --map-root-user --mount -- bash -c '
    if [ -e "$MACHINE/usr/bin/dpkg" ]; then
        for folder in proc dev; do
            mount --rbind "/$folder" "$MACHINE/$folder" || exit 98
        done
        change_root=(chroot "$MACHINE")
    else
        for folder in usr/local/bin etc opt run tmp var/lib; do
            mount --bind "$MACHINE/$folder" "/$folder" || exit 98
        done
    fi
    exec "${change_root[@]}" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin sh -c "$COMMAND"'
status=$?
[ $call != "$(number BREAK_AFTER)" ] || exit 255
exit $status
