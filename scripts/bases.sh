#!/usr/bin/env bash
# Builds the two images an application's own Dockerfile stands on: sightglass-build (has pip) and sightglass-runtime.
set -euo pipefail
cd "$(dirname "$0")/.."
from_env() { sed -n "s/^$1=//p" .env 2>/dev/null | tail -n 1; }
python=${PYTHON_IMAGE:-$(from_env PYTHON_IMAGE)}
bundle=${CA_BUNDLE:-$(from_env CA_BUNDLE)}
pip_conf=${PIP_CONFIG_FILE:-$(from_env PIP_CONFIG_FILE)}
for target in build runtime; do
    # buildx: an older `docker build` is not BuildKit, which the Dockerfile needs.
    docker buildx build --load --quiet --target "$target" --tag "sightglass-$target" ${python:+--build-arg PYTHON_IMAGE="$python"} \
        --build-arg VERSION --build-arg REVISION --build-arg CREATED \
        --secret id=ca_bundle,src="${bundle:-docker/build/none}" \
        --secret id=pip_conf,src="${pip_conf:-docker/build/none}" . >/dev/null
done
