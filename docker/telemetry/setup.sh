#!/bin/sh
# Writes what Jaeger's page is told: where the log lines of a trace are. By being mounted here first, the stores' volumes
# get the owner that they need, too.
set -eu
case ${TRACES_RETENTION_TIME:-168h} in
*[!0-9hms]* | [!0-9]* | *[0-9])
    printf 'TRACES_RETENTION_TIME=%s: not allowed; expected hours, minutes or seconds, such as 168h\n' \
        "$(printf %.200s "$TRACES_RETENTION_TIME" | tr -c ' -~' '?')" >&2
    exit 2
    ;;
esac
logs=${LOGS_URL:-http://127.0.0.1:${LOGS_PORT:-9428}}
query='trace_id%3A%3D%22#{traceID}%22&g0.relative_time=last_7_days'
cat >/run/telemetry/traces/ui.json <<END
{"linkPatterns": [{"type": "traces", "text": "Log lines", "url": "$logs/select/vmui/#/?query=$query"}]}
END
