#!/bin/sh
# Usage: pin.sh [--no-reload] [ADDRESS:PORT…]
# Sends requests to these replicas alone, or, without any, to all that Docker's DNS lists. A deploy pins the edge to the
# replicas that are ready, then starts and stops the others: see scripts/deploy.py.
set -eu

file=/tmp/nginx/upstream-servers.conf
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

if [ $# -eq 0 ]; then
    set -- "api:8000 resolve"
fi
# max_fails=0: one slow endpoint's timeouts must not take a replica, and in the end all, out for everybody.
printf 'server %s max_fails=0;\n' "$@" >"$file.new"
mv "$file.new" "$file"
if $reload; then sh "$(dirname "$0")/reload.sh"; fi
