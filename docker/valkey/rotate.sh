#!/bin/sh
# Usage: rotate.sh both|new|opens
# Has Valkey take the password's successor beside it, or the password that is kept and no other; or says whether it takes the
# one on standard input.
set -eu
ask() { # PASSWORD COMMAND…, by standard input: the command line is for all to see
    password=$1
    shift
    printf '%s\n' "AUTH $password" "$*" | valkey-cli 2>&1 | tail -n 1
}
kept=$(cat /run/valkey/password)
case $1 in
both)
    next=$(cat /run/valkey/password.next)
    # After a rotation that was cut off, Valkey may know either.
    for password in "$kept" "$next"; do
        [ "$(ask "$password" "ACL SETUSER default >$kept >$next")" != OK ] || { [ "$(ask "$next" PING)" = PONG ] && exit; }
    done
    ;;
new) [ "$(ask "$kept" "ACL SETUSER default resetpass >$kept")" != OK ] || exit 0 ;;
opens) IFS= read -r password && [ "$(ask "$password" PING)" != PONG ] || exit 0 ;;
esac
exit 1
