#!/bin/sh
# Usage: pin.sh [--no-reload] [ADDRESS:PORT…]
# Sends requests to these replicas alone, or, without any, to all that the DNS lists. A deploy pins the edge to the
# replicas that are ready, then starts and stops the others: see scripts/deploy.py.
set -eu

file=/tmp/nginx/upstream.conf
reload=true
if [ "${1:-}" = --no-reload ]; then
    reload=false
    shift
fi

for address in "$@"; do
    if ! printf '%s\n' "$address" | grep -Eqx '[0-9.]+:[0-9]+'; then
        printf '%s: not allowed; expected ADDRESS:PORT\n' "$address" >&2
        exit 2
    fi
done

# The DNS is followed while pinned too (`down`: nothing is sent there): NGINX hands the addresses it knows on at a
# reload, and taking the pin off waits for no answer.
if [ $# -gt 0 ]; then found=down; else found=; fi
# max_fails=0: one slow endpoint's timeouts must not take a replica, and in the end all, out for everybody.
printf 'server %s max_fails=0;\n' "${UPSTREAM:-api}:8000 resolve $found" "$@" >"$file.new"
if [ ! -e "$file.unread" ] && cmp -s "$file.new" "$file"; then exit 0; fi
[ ! -e "$file" ] || cp "$file" "$file.old"
mv "$file.new" "$file"
if $reload && ! sh "$(dirname "$0")/reload.sh"; then
    # A pin that was refused must not come with a later reload; one that was to be taken off goes with it, or the next time.
    if [ $# -gt 0 ]; then mv "$file.old" "$file"; else : >"$file.unread"; fi
    exit 1
fi
rm -f "$file.unread"
