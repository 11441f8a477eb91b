#!/bin/sh
# Usage: start.sh [TLS_DIRECTORY STORE_DIRECTORY]
# The container's entry point: gets a certificate for SERVER_NAME from an ACME CA (RFC 8555), puts it where NGINX looks,
# and sees to its renewal, when the CA says (RFC 9773) or a third of its life is left. What fails is tried again after a
# quarter of an hour, then after twice as long each time, up to a day; after a start of the container or a change of the
# settings sooner, but never two attempts with the same settings within a quarter: Let's Encrypt allows 5 failures an hour.
set -eu
umask 022 # NGINX, another user, reads what is put there

tls=${1:-/run/tls}
store=${2:-/var/tmp}
quarter=900 day=86400
look=43200 # seconds between two questions whether the certificate is to be renewed

refuse() { # NAME expected
    eval "value=\${$1:-}"
    # shellcheck disable=SC2154  # set by eval
    printf '%s=%s: not allowed; expected %s\n' "$1" "$(printf %.200s "$value" | tr -c ' -~' '?')" "$2" >&2
    exit 2
}
say() { printf 'acme: %s\n' "$1"; }
at() { date -u -d "@$1" +%Y-%m-%dT%H:%M:%SZ; }
digest() { cksum | tr ' ' -; }

matches() { printf '%s\n' "$1" | grep -Eqx "$2"; }
label='[a-z0-9]([a-z0-9-]*[a-z0-9])?'
[ -z "${TLS_CERT:-}" ] || refuse TLS_CERT "none where ACME_EMAIL is set, which gets a certificate by itself"
matches "${ACME_EMAIL:-}" '[!-~]+@[!-~]+' || refuse ACME_EMAIL "the address at which the CA reaches you"
set -f
# shellcheck disable=SC2086  # words
names=$(printf '%s ' ${SERVER_NAME:-})
[ -n "${names% }" ] || refuse SERVER_NAME "the names that the certificate is to have, separated by spaces"
for name in $names; do
    if ! matches "$name" "$label(\\.$label)+" || matches "$name" '[0-9.]+'; then
        refuse SERVER_NAME "host names that a public CA certifies, in lower case and with a dot, separated by spaces"
    fi
done
case ${ACME_SERVER:-} in
'') server=https://acme-v02.api.letsencrypt.org/directory ;;
staging) server=https://acme-staging-v02.api.letsencrypt.org/directory ;;
https://?*) server=$ACME_SERVER ;;
*) refuse ACME_SERVER "nothing for Let's Encrypt, staging for its test server, or the https address of a CA's directory" ;;
esac
matches "${ACME_DNS:-}" '[a-z0-9-]*' || refuse ACME_DNS "nothing, or the name of a DNS provider of lego's"

PATH=$PATH:/ # where the official image has lego
first=${names%% *}
# A CA's own directory: an account is one CA's, and a certificate of another is none to renew.
own=$store/acme/$(printf %s "$server" | digest)
(umask 077 && mkdir -p "$own")
mkdir -p "$tls/challenges"
certificate=$own/certificates/$first
again=$store/acme/again # made by `make rotate SECRET=tls`: another key, whether one is due or not
settings=$(env | grep -Ev '^(HOSTNAME|SHLVL|_|OLDPWD|PWD)=' | sort | digest)

acme() { # lego's command and its options
    set -- --path "$own" --server "$server" --email "$ACME_EMAIL" --accept-tos --key-type ec256 "$@"
    if [ -n "${ACME_DNS:-}" ]; then set -- --dns "$ACME_DNS" "$@"; else set -- --http --http.webroot "$tls/challenges" "$@"; fi
    # In their order: lego calls the certificate by the first.
    # Told to come back later, lego waits; not for longer than this, so that somebody hears of it.
    # shellcheck disable=SC2046,SC2086  # words
    timeout $quarter lego $(printf -- '--domains %s ' $names) "$@"
}

issued() { [ -s "$certificate.crt" ] && [ -s "$certificate.key" ] && [ "$(cat "$own/names" 2>/dev/null)" = "$names" ]; }

issue() { acme run && printf %s "$names" >"$own/names"; }

attempt() {
    failure=0
    if ! issued; then issue; elif [ -e "$again" ]; then acme renew --days 99999 --no-random-sleep
    else acme renew --dynamic --no-random-sleep; fi || failure=$?
    [ $failure != 0 ] || { rm -f "$again" && return 0; }
    # A CA that has forgotten the account, as test servers do, is told of the same key once more.
    account=$(find "$own/accounts" -name account.json 2>/dev/null || true)
    grep -q accountDoesNotExist "$own/log" && [ -n "$account" ] || return $failure
    mv "$account" "$account.forgotten"
    failure=0
    issue || failure=$?
    [ -e "$account" ] || mv "$account.forgotten" "$account"
    return $failure
}

hand_over() { # to NGINX, which takes the two when they belong together (docker/nginx/start.sh)
    if cmp -s "$certificate.crt" "$tls/tls.crt" && cmp -s "$certificate.key" "$tls/tls.key"; then return; fi
    for kind in key crt; do
        cat "$certificate.$kind" >"$tls/acme.$kind" && mv "$tls/acme.$kind" "$tls/tls.$kind"
    done
    say "the certificate for ${names% } is in place"
}

tell() { # for NGINX's metrics (docker/nginx/metrics.js)
    if issued; then there=1; else there=0; fi
    cat >"$tls/acme.new" <<END
# HELP acme_certificate_issued Whether there is a certificate of the CA for the names of SERVER_NAME.
# TYPE acme_certificate_issued gauge
acme_certificate_issued $there
# HELP acme_failed_attempts Attempts in a row, at issue or renewal, that failed.
# TYPE acme_failed_attempts gauge
acme_failed_attempts $failed
# HELP acme_last_attempt_timestamp_seconds When the CA was last asked.
# TYPE acme_last_attempt_timestamp_seconds gauge
acme_last_attempt_timestamp_seconds $last
# HELP acme_next_attempt_timestamp_seconds When it will be next.
# TYPE acme_next_attempt_timestamp_seconds gauge
acme_next_attempt_timestamp_seconds $next
END
    mv "$tls/acme.new" "$tls/acme.prom"
}

rest() { # SECONDS, in which a signal is heeded
    sleep "$1" &
    child=$!
    wait "$child"
}
child=
trap 'kill $child 2>/dev/null; exit 0' TERM INT

# What was kept of the last attempt: with other settings, it is another matter.
failed=0 last=0 next=0
if [ -s "$own/last" ]; then
    read -r of was when <"$own/last" || true
    if [ "${of:-}" = "$settings" ] && [ "${was:-0}" -gt 0 ]; then
        failed=$was last=$when next=$((when + quarter))
        if [ "$next" -gt $(($(date +%s) + day)) ]; then next=0; fi # the clock was wrong then
    fi
fi
if issued; then hand_over; fi

while :; do
    tell
    now=$(date +%s)
    if [ "$next" -gt "$now" ]; then
        if [ "$failed" -gt 0 ]; then say "after $failed failures in a row, the next attempt is at $(at "$next")"; fi
        rest $((next - now))
    fi
    last=$(date +%s) next=$last
    tell
    # Written before: an attempt that ends with the machine has been one.
    printf '%s %s %s\n' "$settings" $((failed + 1)) "$last" >"$own/last"
    (attempt) >"$own/log" 2>&1 &
    child=$! status=0
    wait "$child" || status=$?
    if [ $status = 0 ] && issued; then
        failed=0 wait=$look
        printf '%s 0 %s\n' "$settings" "$last" >"$own/last"
        cat "$own/log"
        hand_over
    else
        cat "$own/log"
        failed=$((failed + 1)) wait=$quarter
        # A CA that says it is too much means it. 124 and 143 are timeout's.
        if grep -q rateLimited "$own/log" || [ $status = 124 ] || [ $status = 143 ]; then wait=$((4 * quarter)); fi
        doubled=1
        while [ $doubled -lt $failed ] && [ $wait -lt $day ]; do wait=$((wait * 2)) doubled=$((doubled + 1)); done
        if [ $wait -gt $day ]; then wait=$day; fi
        say "FAILED for ${names% } at $server; what is served stays"
    fi
    next=$((last + wait))
done
