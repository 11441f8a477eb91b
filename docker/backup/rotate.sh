#!/bin/sh
# Gives the repository another password, from standard input or made. Both open it until the new one is kept here; the
# old one is removed last. Cut off at any point, the next run goes on from there.
set -eu
# shellcheck source=docker/backup/repository.sh
. "$(dirname "$0")/repository.sh"
# shellcheck source=docker/whole.sh
. "$(dirname "$0")/../whole.sh"
next=$own/password.next old=$own/password.old

exec 8>$own/lock # no backup meanwhile
flock 8
IFS= read -r value || true
[ -s $own/password ] || fail "there is no password yet; expected a first backup: make backup"
repository || fail "there is no repository at $RESTIC_REPOSITORY"
restic unlock --quiet

opens() { # FILE with a password
    status=0
    opened "$1" || status=$?
    case $status in
    0) return 0 ;;
    12) return 1 ;; # restic's word for a wrong password
    *) fail "the repository $RESTIC_REPOSITORY does not answer: $(said_by_restic $status)" ;;
    esac
}

if [ ! -s $old ] || [ -s $next ]; then
    [ -s $next ] || {
        if [ -n "${value:-}" ]; then printf %s "$value"; else od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; fi
    } | write $next
    opens $next || restic key add --quiet --host "$host" --user sightglass --new-password-file $next
    opens $next || fail "the repository does not take the new password; the old one stays"
    write $old <$own/password
    mv $next $own/password
fi
if opens $old; then
    id=$(RESTIC_PASSWORD_FILE=$old restic key list --json | tr '{' '\n' | sed -n 's/.*"current":true.*"id":"\([0-9a-f]*\)".*/\1/p')
    restic key remove --quiet "$id"
    if opens $old; then fail "the old password still opens the repository"; fi
fi
rm $old
say "the new password opens the repository, the old one does not"
