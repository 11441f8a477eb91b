#!/bin/sh
# Becomes Prometheus on the configuration there is, or, where that is broken, on the last good one. Then a reload follows,
# which fails: ConfigReloadFailed says so, and the mended files are taken up by the next.
set -eu

given=/etc/sightglass
good=/prometheus/last-good.tar # replaced in one step
current=/tmp/configuration
candidate=/tmp/candidate

files() { (cd "$given" && tar -cf - prometheus.yml prometheus/rules); }
fingerprint() { (cd "$given" && cat prometheus.yml prometheus/rules/*) 2>/dev/null | cksum; }

keep() { # the configuration, if it is good; else what is wrong with it is in /tmp/wrong
    rm -rf "$candidate" && mkdir "$candidate"
    files >"$candidate.tar" 2>/tmp/wrong || return 1
    tar -xf "$candidate.tar" -C "$candidate"
    promtool check config "$candidate/prometheus.yml" >/tmp/wrong 2>&1 || return 1
    cp "$candidate.tar" "$good.new" && mv "$good.new" "$good"
}

keep_what_is_reloaded() {
    seen=$(fingerprint)
    while sleep 10; do
        now=$(fingerprint)
        if [ "$now" != "$seen" ]; then
            seen=$now
            keep || true
        fi
    done
}

reload_when_ready() { # PID
    until wget -q -O /dev/null http://127.0.0.1:9090/-/ready 2>/dev/null; do sleep 1; done
    ln -sfn "$given" "$current"
    kill -HUP "$1"
}

# Where links in alerts lead for log lines: nowhere while nobody keeps any.
case ${TELEMETRY:-false} in
true)
    export LOGS_URL="${LOGS_URL:-http://127.0.0.1:${LOGS_PORT:-9428}}"
    if [ -n "${GRAFANA_PLUGINS_DIR:-}" ]; then export EXPLORE_URL="${GRAFANA_URL:-}"; fi
    ;;
false) unset LOGS_URL ;;
*)
    printf 'TELEMETRY=%s: not allowed; expected true or false\n' "$(printf %.200s "$TELEMETRY" | tr -c ' -~' '?')" >&2
    exit 2
    ;;
esac

sh "$(dirname "$0")/expect.sh" --at-start

ln -sfn "$given" "$current"
if command -v promtool >/dev/null; then
    if ! keep; then
        if [ ! -s "$good" ]; then
            cat /tmp/wrong >&2
            exit 1
        fi
        echo "The configuration is broken, and the last good one is used: $(tail -n 1 /tmp/wrong)" >&2
        mkdir -p /tmp/last-good
        tar -xf "$good" -C /tmp/last-good
        ln -sfn /tmp/last-good "$current"
        reload_when_ready $$ &
    fi
    keep_what_is_reloaded &
fi

exec prometheus --config.file="$current/prometheus.yml" "$@"
