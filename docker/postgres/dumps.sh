#!/bin/sh
# Beside PostgreSQL: dumps every database when a backup asks for it, by a file `request` with a line that tells it from
# others; that line and `ok`, or why not, are the answer (docker/backup/copies.py).
set -eu
umask 077
cd /var/lib/postgresql/dumps

dump() {
    for file in /run/postgres/* /run/database/*; do
        case $file in *.next) continue ;; esac # a password's successor (docker/rotate.sh)
        [ -s "$file" ] || continue
        name=$(basename "$file")
        # Not compressed, of which two versions have nothing in common: restic does it.
        pg_dump --username=postgres --format=custom --compress=none --file="$name.new" "$name" || return 1
        mv "$name.new" "$name.dump"
    done
}

answered=''
while :; do
    request=$(cat request 2>/dev/null) || request=''
    if [ -n "$request" ] && [ "$request" != "$answered" ]; then
        said=ok
        dump 2>said || said=$(tail -n 1 said)
        printf '%s\n%s\n' "$request" "$said" >answer.new && mv answer.new answer
        answered=$request
    fi
    sleep 1
done
