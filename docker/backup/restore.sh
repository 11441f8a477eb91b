#!/bin/sh
# Usage: restore.sh files|volumes SNAPSHOT [force], the repository's password on standard input, or nothing: the one kept.
# `files` puts what is the host's into /restored, `volumes` fills the volumes, which must be empty unless it is forced.
set -eu
# shellcheck source=docker/backup/repository.sh
. "$(dirname "$0")/repository.sh"

read -r password || true
if [ -n "${password:-}" ]; then
    printf %s "$password" >/tmp/password
    export RESTIC_PASSWORD_FILE=/tmp/password
elif [ ! -s $own/password ]; then
    fail "no password; expected RESTIC_PASSWORD_FILE, or RESTIC_PASSWORD, of the repository $RESTIC_REPOSITORY"
fi
repository || fail "there is no repository at $RESTIC_REPOSITORY"

snapshot=$2
names() { # of what is in a directory of the snapshot
    restic ls --quiet "$snapshot" "$1/" | sed -n "s,^$1/\([^/]*\)$,\1,p"
}
if ! names /volumes >/tmp/names 2>/tmp/said; then fail "$snapshot: $(tail -n 1 /tmp/said)"; fi

case $1 in
files)
    for part in project host; do
        if [ -n "$(names /$part)" ]; then restic restore --quiet "$snapshot:/$part" --target /restored/$part; fi
    done
    ;;
volumes)
    full=
    while read -r name; do
        if [ -n "$(ls -A "/volumes/$name")" ]; then full="$full $name"; fi
    done </tmp/names
    if [ -n "$full" ] && [ "${3:-}" != force ]; then
        fail "there is data already, in the volumes$full; expected none, or make restore FORCE=1, which replaces it"
    fi
    while read -r name; do
        volume=/volumes/$name
        find "$volume" -mindepth 1 -delete
        restic restore --quiet "$snapshot:$volume" --target "$volume" </dev/null
        chown "$(stat -c %u:%g "$volume/.backup")" "$volume"
        chmod "$(stat -c %a "$volume/.backup")" "$volume"
        find "$volume/.backup" -mindepth 1 -maxdepth 1 -exec mv '{}' "$volume/" ';'
        rmdir "$volume/.backup"
        say "$name"
    done </tmp/names
    if [ "$RESTIC_PASSWORD_FILE" != $own/password ]; then cat /tmp/password >$own/password; fi
    ;;
esac
