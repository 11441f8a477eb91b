#!/bin/sh
# Becomes Valkey, which asks for the password that docker/setup.sh has made, and takes its successor, too, while that is
# being put in its place (docker/valkey/rotate.sh).
set -eu
user='user default on ~* &* +@all'
for file in /run/valkey/password /run/valkey/password.next; do
    if [ -s "$file" ]; then user="$user >$(cat "$file")"; fi
done
# By standard input: the command line is for all to see.
exec valkey-server - <<END
$user
dir /data
appendonly yes
save ""
maxmemory-policy noeviction
END
