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
    printf 'backup: %s\n' "$1" >&2
    exit 1
}

# A port or a path may follow; a password in it would be seen.
case $RESTIC_REPOSITORY in
/backups | /backups/* | s3:?* | sftp:?*) ;;
*) refuse RESTIC_REPOSITORY "/backups, which is BACKUP_DIR, s3:https://HOST/BUCKET or sftp:USER@HOST:/PATH" ;;
esac

export RESTIC_PASSWORD_FILE=$own/password RESTIC_CACHE_DIR=$own/cache HOME=/root
export RESTIC_PROGRESS_FPS=0
# shellcheck disable=SC2034  # used by who sources this
host=${PROJECT:-sightglass}

# Why a server is not reached by SSH: restic may end before it has read what ssh says.
said_by_ssh() {
    case $RESTIC_REPOSITORY in
    sftp://*) to=${RESTIC_REPOSITORY#sftp://} to=ssh://${to%%/*} ;;
    sftp:*) to=${RESTIC_REPOSITORY#sftp:} to=${to%%:*} ;;
    *) return ;;
    esac
    ssh -o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=ERROR -s "$to" sftp </dev/null 2>&1 >/dev/null |
        tr -d '\r' | tail -n 1
}

# Says why the repository does not answer, in a line; 10: there is none.
repository() {
    status=0
    restic cat config >/dev/null 2>/tmp/said </dev/null || status=$?
    case $status in
    0 | 10) return $status ;;
    12) fail "the repository $RESTIC_REPOSITORY has another password than the one that is kept here" ;;
    *)
        reason=$(said_by_ssh || true)
        fail "the repository $RESTIC_REPOSITORY does not answer: ${reason:-$(tail -n 1 /tmp/said)}"
        ;;
    esac
}
