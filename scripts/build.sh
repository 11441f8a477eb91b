#!/usr/bin/env bash
# Builds the API's image, stamped with the last commit, not with now: building the same code twice gives the same image.
set -euo pipefail
cd "$(dirname "$0")/.."
if git rev-parse HEAD >/dev/null 2>&1; then
    VERSION=$(git describe --tags --always --dirty) REVISION=$(git rev-parse HEAD) CREATED=$(git log -1 --format=%cI)
    export VERSION REVISION CREATED
fi
# What an image of your own stands on; Compose reads .env for itself, the plain build of these must be told.
if [ -n "$(python3 scripts/environment.py API_CONTEXT)" ]; then scripts/bases.sh; fi
docker compose build --quiet api
