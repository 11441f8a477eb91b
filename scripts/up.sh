#!/usr/bin/env bash
# From whatever this machine is to the whole stack, healthy. Safe to run again: what is there stays.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
step() { printf '==> %s  [%d s]\n' "$*" $((SECONDS - started)); }

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

python3 scripts/releases.py --note || true # it has said why; what runs, runs

step "up"
python3 scripts/addresses.py
