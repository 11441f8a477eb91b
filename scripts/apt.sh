#!/usr/bin/env bash
# apt.sh update | install PACKAGE…: apt-get, once whoever else uses it is done: on a new machine that is often its daily upgrade.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
for attempt in {1..120}; do
    log=$(apt-get -qqy --no-install-recommends "$@" 2>&1) && exit
    [[ $log == *"Could not get lock"* ]] || break
    [ "$attempt" -gt 1 ] || echo "    apt-get is in use elsewhere: waiting for ten minutes at most" >&2
    sleep 5
done
printf '%s\n' "$log" >&2
exit 1
