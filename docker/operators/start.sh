#!/bin/sh
# The door's entry point: checks the environment, writes what depends on it, becomes NGINX. With --check it only says
# whether it could.
set -eu

case ${OPERATORS_ANONYMOUS:-false} in
true) realm=off ;;
false) realm=Sightglass ;;
*)
    printf 'OPERATORS_ANONYMOUS=%s: not allowed; expected true or false\n' \
        "$(printf '%s' "$OPERATORS_ANONYMOUS" | tr -c ' -~' '?')" >&2
    exit 2
    ;;
esac

# What comes by a published port of 127.0.0.1 has the address of the bridge's end on the host, the default gateway:
# Docker's proxy opens the connection, or its rules masquerade it.
gateway=$(sed -n 's/^[^\t]*\t00000000\t\(..\)\(..\)\(..\)\(..\)\t.*/0x\4 0x\3 0x\2 0x\1/p' /proc/net/route | head -n 1)
if [ "${1:-}" = --check ]; then gateway='127 0 0 1'; fi
[ -n "$gateway" ] || { echo "operators: no default gateway; expected a network with published ports" >&2; exit 2; }
# shellcheck disable=SC2086  # four numbers
gateway=$(printf '%d.%d.%d.%d' $gateway)

cat >/tmp/operators.conf <<END
geo \$from_this_machine { default 0; $gateway 1; }
map '' \$operators_realm { default $realm; }
END
if [ "${1:-}" = --check ]; then exec nginx -t -q -c /etc/sightglass/operators/nginx.conf; fi
exec nginx -c /etc/sightglass/operators/nginx.conf -g "daemon off;"
