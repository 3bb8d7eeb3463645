# Makes this instance a server: its name is the prefix and the instance's id. Where the image has no agent, it is downloaded.
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# cloud-init has written it before it runs user data.
instance=$(cat /var/lib/cloud/data/instance-id)
server=$prefix$(printf '%s' "$instance" | tr 'A-Z' 'a-z' | tr -c 'a-z0-9-' '-' | cut -c 1-40)
host=$server
program=

download() {
    [ -n "$from" ] || fail 'this image has no heartbeat-agent: put its package into it, or pass --from'
    case $(uname -m) in
        x86_64 | amd64) processor=x86_64 ;;
        aarch64 | arm64) processor=arm64 ;;
        *) fail "there is no agent for the processor $(uname -m)" ;;
    esac
    archive=$from/heartbeat-agent-$version-linux-$processor.tar.gz
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --retry 5 --output "$folder/archive" "$archive"
    else
        wget --quiet --tries=5 --output-document="$folder/archive" "$archive"
    fi
    tar -xzOf "$folder/archive" heartbeat-agent > "$folder/heartbeat-agent"
    digest=$(sha256sum < "$folder/heartbeat-agent" | cut -d ' ' -f 1)
    case " $digests " in
        *" $processor=$digest "*) ;;
        *) fail "$archive holds another agent: its SHA-256 differs" ;;
    esac
}

mkdir -p -m 755 "$etc" "$units"
if [ -z "$(installed_program)" ]; then
    download
    copy_program
fi
write_settings
make_user
printf '%s' "$secret" | put_in_place
