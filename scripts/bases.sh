#!/usr/bin/env bash
# Builds the two images an application's own Dockerfile stands on: sightglass-build (has pip) and sightglass-runtime.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(python3 scripts/environment.py PYTHON_IMAGE)
bundle=$(python3 scripts/environment.py CA_BUNDLE)
pip_conf=$(python3 scripts/environment.py PIP_CONFIG_FILE)
for target in build runtime; do
    # buildx: an older `docker build` is not BuildKit, which the Dockerfile needs.
    docker buildx build --load --target "$target" --tag "sightglass-$target" ${python:+--build-arg PYTHON_IMAGE="$python"} \
        --build-arg VERSION --build-arg REVISION --build-arg CREATED \
        --secret id=ca_bundle,src="${bundle:-docker/build/none}" \
        --secret id=pip_conf,src="${pip_conf:-docker/build/none}" .
done
