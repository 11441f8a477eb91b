#!/bin/sh
# Usage: maintenance.sh on [RETRY_AFTER] [HOLD] | off
# on: everybody is answered 503, with a page for browsers and Retry-After, also after a restart. With HOLD, requests wait
# instead, for `off` or for so many seconds, and are 503 after that.
set -eu

state=/tmp/nginx/state aside=/tmp/nginx/state/maintenance.before
refuse() { # name value expected
    printf '%s=%s: not allowed; expected %s\n' "$1" "$(printf %.200s "$2" | tr -c ' -~' '?')" "$3" >&2
    exit 2
}
seconds() { # name value most
    case $2 in '' | *[!0-9]* | 0* | ??????*) refuse "$1" "$2" "whole seconds from 1 to $3" ;; esac
    [ "$2" -le "$3" ] || refuse "$1" "$2" "whole seconds from 1 to $3"
}
refused() { # what was before is again, as NGINX goes on with it
    if [ -e "$aside" ]; then mv "$aside" "$state/maintenance.conf"; fi
    echo "nothing was changed: NGINX refuses its configuration" >&2
    exit 1
}
hold() { curl -fsS -o /dev/null "http://127.0.0.1:9113/hold?seconds=$1"; }

case ${1:-} in
on)
    retry_after=${2:-120}
    seconds RETRY_AFTER "$retry_after" 86400
    if [ -n "${3:-}" ]; then
        seconds HOLD "$3" 300
        grep -q js_access /tmp/nginx/gate.conf || refuse HOLD "$3" "nothing: this NGINX cannot hold requests (njs before 1.0)"
        hold "$3"
        echo "requests wait for up to $3 s"
        exit
    fi
    if [ -e "$state/maintenance.conf" ]; then cp "$state/maintenance.conf" "$aside"; fi
    # shellcheck disable=SC2016  # NGINX's variable
    printf 'set $maintenance_retry_after %s;\ninclude /etc/sightglass/nginx/server/maintenance.conf;\n' "$retry_after" >"$state/maintenance.new"
    mv "$state/maintenance.new" "$state/maintenance.conf"
    if ! sh "$(dirname "$0")/reload.sh"; then
        rm "$state/maintenance.conf"
        refused
    fi
    rm -f "$aside"
    echo "everybody is answered 503"
    ;;
off)
    hold 0
    if [ -e "$state/maintenance.conf" ]; then mv "$state/maintenance.conf" "$aside"; fi
    if [ -e "$aside" ]; then # also one that was cut off before NGINX knew
        sh "$(dirname "$0")/reload.sh" || refused
        rm "$aside"
    fi
    echo "requests are answered"
    ;;
*)
    refuse maintenance "${1:-}" "on or off"
    ;;
esac
