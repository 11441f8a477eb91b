#!/bin/sh
# Usage: start.sh [once | check | password | rotate | list | anew]
# The container's entry point: a backup every BACKUP_HOURS, and every BACKUP_CHECK_DAYS a check: a twentieth of the
# repository is read, and the newest backup restored beside and compared. What fails is tried again after an hour.
set -eu
# shellcheck source=docker/backup/repository.sh
. "$(dirname "$0")/repository.sh"

metrics=/var/lib/backup-metrics

number() { # NAME VALUE least most
    case $2 in '' | *[!0-9]* | ?????*) refuse "$1" "a whole number from $3 to $4" ;; esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then refuse "$1" "a whole number from $3 to $4"; fi
}
number BACKUP_HOURS "$BACKUP_HOURS" 1 720
number BACKUP_CHECK_DAYS "$BACKUP_CHECK_DAYS" 1 365
printf '%s\n' "$BACKUP_KEEP" | grep -Eqx '(--keep-[a-z-]+ [0-9a-z]+ *)+' ||
    refuse BACKUP_KEEP "options of restic forget, such as --keep-daily 7 --keep-weekly 5"

if [ ! -s $own/password ]; then
    od -An -tx1 -N24 /dev/urandom | tr -d ' \n' >$own/password.new
    mv $own/password.new $own/password
fi

# What is known of earlier ones: seconds since the epoch, bytes; nothing where there was none.
backed_up='' size='' duration='' failed=0 tried=0 checked='' check_failed=0 check_tried=0
remember() {
    for name in backed_up size duration failed tried checked check_failed check_tried; do
        eval "printf '%s=%s\n' $name \"\$$name\""
    done >$own/state.new && mv $own/state.new $own/state
}
recall() {
    # shellcheck disable=SC1091  # written above
    [ ! -s $own/state ] || . $own/state
}

metric() { # NAME VALUE HELP
    [ -z "$2" ] || printf '# HELP %s %s\n# TYPE %s gauge\n%s %s\n' "$1" "$3" "$1" "$1" "$2"
}
tell() { # for the node exporter
    remember
    {
        metric backup_last_success_timestamp_seconds "$backed_up" "When the last backup was complete."
        metric backup_size_bytes "$size" "What the last backup restores to."
        metric backup_duration_seconds "$duration" "How long the last backup took."
        metric backup_failed_attempts "$failed" "Backups in a row that failed."
        metric backup_interval_seconds $((BACKUP_HOURS * 3600)) "Time between two backups."
        metric backup_last_check_timestamp_seconds "$checked" "When the last check, with a trial restore, was passed."
        metric backup_check_failed_attempts "$check_failed" "Checks in a row that failed."
        metric backup_check_interval_seconds $((BACKUP_CHECK_DAYS * 86400)) "Time between two checks."
    } >$metrics/backup.new
    chmod 644 $metrics/backup.new
    mv $metrics/backup.new $metrics/backup.prom
}

ask() { # copy | drop: docker/backup/copies.py answers
    id="$1 $(date +%s).$$"
    printf '%s\n' "$id" >$own/request.new && mv $own/request.new $own/request
    waited=0
    until [ -f $own/answer ] && [ "$(head -n 1 $own/answer)" = "$id" ]; do
        [ $waited -lt 3600 ] || fail "nobody makes the copies; expected the service backup-copies to run"
        sleep 1
        waited=$((waited + 1))
    done
    [ "$(sed -n 2p $own/answer)" = ok ] || fail "$(sed -n 2p $own/answer)"
    sed 1,2d $own/answer | while read -r line; do say "$line"; done
}

back_up() {
    repository || {
        say "the repository $RESTIC_REPOSITORY is new"
        restic init --quiet
        found
    }
    restic unlock --quiet # what a crash has left
    ask copy
    set --
    for path in /volumes/*/.backup /project/.env /project/app.env /project/acme.env /project/mlflow.env /project/.releases \
        /host/SITE_DIR; do
        if [ -L "$path" ]; then # to what SITE_DIR has: scripts/restore.py makes it again
            [ -f "/host/SITE_DIR/${path##*/}" ] ||
                fail "${path#/project/}: not allowed; expected no link, or one to the file of that name in SITE_DIR"
        elif [ -e "$path" ]; then
            set -- "$@" "$path"
        fi
    done
    for name in API_KEYS_FILE APP_ENV_FILE ALERT_SECRETS_DIR CA_BUNDLE GRAFANA_PASSWORD_FILE MLFLOW_DB_PASSWORD_FILE \
        MODELS_DIR PIP_CONFIG_FILE STATE_SECRETS_DIR TLS_CERT TLS_KEY; do
        eval "value=\${$name:-}"
        # shellcheck disable=SC2154  # set by eval
        if [ -n "$value" ]; then set -- "$@" "/host/$name"; fi
    done
    restic backup --json --host "$host" --group-by host "$@" >$own/said 2>&1 || {
        grep -v '"message_type":"status"' $own/said | tail -n 3 >&2
        return 1
    }
    ask drop
    # shellcheck disable=SC2086  # words
    restic forget --quiet --host "$host" --group-by host --prune $BACKUP_KEEP
}

check() {
    repository || fail "there is no backup yet"
    restic check --quiet --read-data-subset=5%
    rm -rf $own/trial
    restic restore latest --quiet --host "$host" --target $own/trial --verify
    rm -rf $own/trial
}

# Sets `status`. In a shell of its own, so that whatever fails in it ends it; therefore never called within a condition,
# in which a shell would go on.
attempt() { # COMMAND
    ("$1") &
    child=$!
    status=0
    wait $child || status=$?
}
child='' status=0
trap 'kill $child 2>/dev/null; exit 143' TERM INT

locked() { # COMMAND: one at a time, `make backup` and the schedule
    exec 8>$own/lock
    flock 8
    recall
    "$1"
    exec 8>&-
}

run_backup() {
    begun=$(date +%s) tried=$begun
    failed=$((failed + 1))
    remember # an attempt that ends with the machine has been one
    attempt back_up
    if [ $status = 0 ]; then
        failed=0 backed_up=$(date +%s)
        duration=$((backed_up - begun))
        size=$(sed -n 's/.*"total_bytes_processed":\([0-9]*\).*/\1/p' $own/said | tail -n 1)
        say "done in $duration s: $size bytes"
    else
        say "FAILED, $failed in a row" >&2
    fi
    tell
}

run_check() {
    check_tried=$(date +%s)
    check_failed=$((check_failed + 1))
    remember
    attempt check
    if [ $status = 0 ]; then
        check_failed=0 checked=$(date +%s)
        say "checked, and restored for trial, in $((checked - check_tried)) s"
    else
        say "the check FAILED, $check_failed in a row" >&2
    fi
    tell
}

due() { # LAST_TRIED FAILED INTERVAL
    now=$(date +%s)
    pause=$3
    if [ "$2" -gt 0 ] && [ "$pause" -gt 3600 ]; then pause=3600; fi
    [ "$now" -ge $(($1 + pause)) ] || [ "$now" -lt "$1" ] # or the clock was wrong then
}

scheduled() {
    if due "$tried" "$failed" $((BACKUP_HOURS * 3600)); then run_backup; fi
    if [ -n "$backed_up" ] && due "$check_tried" "$check_failed" $((BACKUP_CHECK_DAYS * 86400)); then run_check; fi
}

case ${1:-} in
once) locked run_backup && exit $status ;;
check) locked run_check && exit $status ;;
password) cat $own/password ;;
rotate) exec sh "$(dirname "$0")/rotate.sh" ;;
list)
    repository || fail "there is no backup yet"
    restic snapshots --compact --host "$host"
    ;;
anew) # where there was a repository and is none, the next backup begins one
    if known; then
        { grep -vxF -- "$place" $places || true; } >$places.new
        mv $places.new $places
    fi
    say "where there is no repository at $place, the next backup begins one"
    ;;
'')
    recall
    tell
    while :; do
        locked scheduled
        sleep 60 &
        child=$!
        wait $child || true
    done
    ;;
*) fail "$1: not known" ;;
esac
