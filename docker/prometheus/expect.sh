#!/bin/sh
# Usage: expect.sh N|--at-start
# Tells Prometheus how many replicas of the API must answer, and of the job processes (the alert ReplicaMissing), and with
# TELEMETRY=true what must keep logs and traces (TelemetryMissing). The API's number outlives restarts; at a start
# API_REPLICAS counts where it is another than at the last.
set -eu

file=${EXPECTED:-/prometheus/expected.yml}
number=$1
given="# API_REPLICAS=${API_REPLICAS:=1}"
if [ "$number" = --at-start ]; then
    number=$API_REPLICAS
    if [ -e "$file" ] && [ "$(head -n 1 "$file")" = "$given" ]; then
        number=$(sed -n 's/.*vector(\([0-9]*\)).*/\1/p' "$file" | head -n 1)
    fi
fi
check() { # NAME VALUE
    case $2 in
    '' | *[!0-9]* | ?????*)
        printf '%s=%s: not allowed; expected a whole number\n' "$1" "$(printf %.200s "$2" | tr -c ' -~' '?')" >&2
        exit 2
        ;;
    esac
}
check API_REPLICAS "$number"
check JOBS_REPLICAS "${JOBS_REPLICAS:=1}"
cat >"$file.new" <<END
$given
groups:
  - name: expected
    rules:
      - {record: stack:replicas:expected, expr: vector($number), labels: {job: api}}
      - {record: stack:replicas:expected, expr: vector($JOBS_REPLICAS), labels: {job: jobs}}
END
if [ "${TELEMETRY:-false}" = true ]; then
    for job in collector victoria-logs jaeger; do
        echo "      - {record: stack:telemetry:expected, expr: vector(1), labels: {job: $job}}" >>"$file.new"
    done
fi
if cmp -s "$file.new" "$file"; then exit 0; fi
mv "$file.new" "$file"
[ "$1" = --at-start ] || kill -HUP 1
