#!/bin/sh
# Becomes Prometheus on the configuration there is, or, where that is broken, on the last good one, or at least on what is
# not yours (SITE_DIR). Then a reload follows, which fails: ConfigReloadFailed says so, and the mended files are taken up
# by the next. With --check it only says whether the configuration is good.
set -eu

given=/etc/sightglass
site=/etc/site # rules and targets of yours
good=/prometheus/last-good.tar # replaced in one step
current=/tmp/configuration
candidate=/tmp/candidate

fingerprint() { cat "$given/prometheus.yml" "$given"/prometheus/rules/* "$site"/*/* 2>/dev/null | cksum; }

lay_out() { # COMMAND DIRECTORY: the configuration in one place, by copies or links
    mkdir -p "$2/prometheus"
    $1 "$given/prometheus.yml" "$2/"
    $1 "$given/prometheus/rules" "$2/prometheus/"
}

copy() { # the configuration, if it is good; else what is wrong with it is in /tmp/wrong
    rm -rf "$candidate"
    lay_out "cp -R" "$candidate" 2>/tmp/wrong || return 1
    [ ! -d "$site" ] || cp -R "$site" "$candidate/" 2>/tmp/wrong || return 1
    for file in "$candidate"/site/targets/*.yml "$candidate"/site/targets/*.json; do # each alone, as promtool names none
        [ -e "$file" ] || continue
        printf "scrape_configs: [{job_name: site, file_sd_configs: [{files: ['%s']}]}]\n" "$file" >"$candidate/one.yml"
        promtool check config "$candidate/one.yml" >/tmp/wrong 2>&1 || return 1
    done
    promtool check config "$candidate/prometheus.yml" >/tmp/wrong 2>&1
}

reason() { # in one line, by the names that files have outside
    awk '!failed {said = $0} sub(/.*FAILED: */, "") {failed = 1; said = ""} failed && NF {said = said $0; if (!/:$/) exit} END {print said}' \
        /tmp/wrong |
        sed "s,$candidate/site/,SITE_DIR/,g; s,$candidate/,,g; s,$site/,SITE_DIR/,g"
}

keep() {
    copy || return 1
    tar -C "$candidate" -cf "$good.new" . && mv "$good.new" "$good"
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
    ln -sfn /tmp/live "$current"
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
if [ "${1:-}" = --check ]; then
    copy && exit 0
    echo "Prometheus does not take its configuration: $(reason)" >&2
    exit 1
fi

sh "$(dirname "$0")/expect.sh" --at-start

lay_out "ln -sfn" /tmp/live
ln -sfn "$site" /tmp/live/site
ln -sfn /tmp/live "$current"
if command -v promtool >/dev/null; then
    if ! keep; then
        rm -rf /tmp/last-good && mkdir -p /tmp/last-good
        if [ -s "$good" ]; then
            echo "The configuration is broken, and the last good one is used: $(reason)" >&2
            tar -xf "$good" -C /tmp/last-good
        else
            why=$(reason)
            lay_out "cp -R" /tmp/last-good
            promtool check config /tmp/last-good/prometheus.yml >/tmp/wrong 2>&1 || { cat /tmp/wrong >&2; exit 1; }
            echo "SITE_DIR: what is yours is broken, and nothing of it is used: $why" >&2
        fi
        ln -sfn /tmp/last-good "$current"
        reload_when_ready $$ &
    fi
    keep_what_is_reloaded &
fi

exec prometheus --config.file="$current/prometheus.yml" "$@"
