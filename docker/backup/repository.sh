# shellcheck shell=sh
# What backups and restores have in common: refusals, the repository's password, and restic itself. Sourced.
umask 077
own=/var/lib/backup

refuse() { # NAME expected
    eval "value=\${$1:-}"
    # shellcheck disable=SC2154  # set by eval
    printf '%s=%s: not allowed; expected %s\n' "$1" "$(printf %.200s "$value" | tr -c ' -~' '?')" "$2" >&2
    exit 2
}
say() { printf 'backup: %s\n' "$1"; }
fail() {
    printf 'backup: %s\n' "$*" >&2
    exit 1
}

# A port or a path may follow; a password in it would be seen.
case $RESTIC_REPOSITORY in
/backups | /backups/* | s3:?* | sftp:?*) ;;
*) refuse RESTIC_REPOSITORY "/backups, which is BACKUP_DIR, s3:https://HOST/BUCKET or sftp:USER@HOST:/PATH" ;;
esac

# Where that is, and what names each place that has had a repository.
case $RESTIC_REPOSITORY in
/*) place="$RESTIC_REPOSITORY, BACKUP_DIR=${BACKUP_DIR:-}" ;;
*) place=$RESTIC_REPOSITORY ;;
esac
places=$own/places

export RESTIC_PASSWORD_FILE=$own/password RESTIC_CACHE_DIR=$own/cache HOME=/root
export RESTIC_PROGRESS_FPS=0
# Seconds that the repository has for its first answer: restic by itself asks for a quarter of an hour.
patience=60
# A machine that is gone says nothing, and ssh by itself waits for ever.
ssh_args="-o ConnectTimeout=50 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
restic() { command restic -o "sftp.args=$ssh_args" "$@"; }
# shellcheck disable=SC2034  # used by who sources this
host=${PROJECT:-sightglass}

# Why a server is not reached by SSH: restic may end before it has read what ssh says.
said_by_ssh() {
    case $RESTIC_REPOSITORY in
    sftp://*) to=${RESTIC_REPOSITORY#sftp://} to=ssh://${to%%/*} ;;
    sftp:*) to=${RESTIC_REPOSITORY#sftp:} to=${to%%:*} ;;
    *) return ;;
    esac
    # shellcheck disable=SC2086  # words
    timeout -k 10 $patience ssh -o BatchMode=yes $ssh_args -o LogLevel=ERROR -s "$to" sftp </dev/null 2>&1 >/dev/null |
        tr -d '\r' | tail -n 1
}

# Whether a password opens it; /tmp/said has why not.
opened() { # FILE with the password
    RESTIC_PASSWORD_FILE=$1 timeout -k 10 $patience restic -o "sftp.args=$ssh_args" cat config >/dev/null 2>/tmp/said </dev/null
}

# Why restic gave up, or was given up: what it tried again for is all that it says then.
said_by_restic() { # STATUS
    case $1 in
    124 | 130 | 137 | 143) # timeout's words, or, of a timeout that becomes what it runs, restic's own
        reason=$(sed -n 's/.* returned error, retrying after [^:]*: //p' /tmp/said | tail -n 1)
        printf 'no answer within %s s%s\n' $patience "${reason:+: $reason}"
        ;;
    *) tail -n 1 /tmp/said ;;
    esac
}

known() { grep -qxF -- "$place" $places 2>/dev/null; }
found() { known || printf '%s\n' "$place" >>$places; }

# Says why the repository does not answer, or is gone, in a line; 10: there has been none.
repository() {
    status=0
    opened "$RESTIC_PASSWORD_FILE" || status=$?
    case $status in
    0) found || fail "$places cannot be written" ;;
    10)
        ! known || fail "there was a repository at $place: is its disk mounted? If it is gone for good, a new one:" \
            "docker compose --profile backup run --rm --no-deps restic anew"
        return 10
        ;;
    12) fail "the repository $RESTIC_REPOSITORY has another password than the one that is kept here" ;;
    *)
        reason=$(said_by_ssh || true)
        fail "the repository $RESTIC_REPOSITORY does not answer: ${reason:-$(said_by_restic $status)}"
        ;;
    esac
}
