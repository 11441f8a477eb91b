#!/bin/sh
# Usage: rotate.sh begin|end FILE
# A password's successor, beside it in FILE.next. `begin` writes it, from standard input or, where that is empty, made,
# unless one is there, of a rotation that was cut off; then prints both. `end` puts it in the old one's place.
set -eu
umask 022 # its readers are other users; the volume is mounted only where they are
file=$2
# shellcheck source=docker/whole.sh
. "$(dirname "$0")/whole.sh"

case $1 in
begin)
    if [ ! -s "$file.next" ]; then
        IFS= read -r value || true
        [ -n "${value:-}" ] || value=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
        case $file in */operators/password) umask 077 ;; esac # NGINX reads its hash
        printf %s "$value" | write "$file.next"
    fi
    printf '%s\n' "$(cat "$file")" "$(cat "$file.next")"
    ;;
end)
    [ -s "$file.next" ] || exit 0
    case $file in
    */operators/password)
        printf 'operator:%s\n' "$(openssl passwd -5 -stdin <"$file.next")" | write "$(dirname "$file")/htpasswd"
        ;;
    esac
    mv "$file.next" "$file"
    ;;
esac
