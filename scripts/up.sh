#!/usr/bin/env bash
# From whatever this machine is to the whole stack, healthy. Safe to run again: what is there stays.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
step() { printf '==> %s  [%d s]\n' "$*" $((SECONDS - started)); }
compose() { docker compose --profile monitoring --profile telemetry --profile mlflow "$@"; }

# A clone made under a strict umask: the containers' users could not read their own configuration.
unreadable=$(find docker grafana ! -perm -o+r -print -quit)
[ -z "$unreadable" ] || { echo "$unreadable: not readable by the containers' users; run: chmod -R o+rX docker grafana" >&2; exit 1; }

step "Docker Engine"
scripts/engine.sh

exec 9<.  # as scripts/deploy.py does; not before the engine is there, which would keep it for as long as it lives
flock -n 9 || { echo "a deploy, or another make up, is under way" >&2; exit 1; }

[ -f .env ] || { step ".env, from .env.template"; cp .env.template .env; }

python3 scripts/preflight.py

step "images of others"
this_run=$(mktemp)
trap 'rm -f "$this_run"' EXIT
python3 scripts/images.py --this-run "$this_run"
# A stand-in for what a registry fails to give just now: .env does not learn of it, and the next make up asks again.
while read -r variable; do export "${variable?}"; done <"$this_run"

step "the API's image"
python3 scripts/build.py

if [ "$(python3 scripts/environment.py MLFLOW)" = true ]; then
    step "MLflow's image: some minutes the first time"
    docker compose --profile mlflow build --quiet mlflow
fi

step "starting, until every service is healthy"
python3 scripts/start.py

# What a deploy that was killed may have left: sends requests to all replicas again, or changes nothing.
compose exec -T nginx sh /etc/sightglass/nginx/pin.sh

python3 scripts/releases.py --note || true # it has said why; what runs, runs

published() { compose port "$1" "$2" | sed 's/^0\.0\.0\.0/localhost/'; }
running() { [ -n "$(compose ps --quiet "$1")" ]; }
step "up"
cat <<EOF

    API           https://$(published nginx 8443)/         (certificate: self-signed unless TLS_CERT or ACME_EMAIL is set: curl -k)
                  https://$(published nginx 8443)/docs
    Prometheus    http://$(published operators 9090)/          (user operator, password: make credentials)
    Alertmanager  http://$(published operators 9093)/          (the same)
EOF
if running grafana; then
    echo "    Grafana       http://$(published operators 3000)/          (user $(compose exec -T grafana printenv GF_SECURITY_ADMIN_USER), password: make credentials)"
else
    echo "    Grafana       NOT RUNNING: its image can be neither pulled nor built here; dashboards are in grafana/dashboards/"
fi
if running telemetry-door; then
    echo "    VictoriaLogs  http://$(published telemetry-door 9428)/          (user operator, as Prometheus)"
    echo "    Jaeger        http://$(published telemetry-door 16686)/         (the same)"
fi
if running mlflow-door; then
    echo "    MLflow        http://$(published mlflow-door 5000)/          (the same)"
fi
cat <<EOF

    Settings are in .env; credentials are shown by: make credentials
    Logs: make logs    Containers: make ps    Stop, data kept: make down
EOF
