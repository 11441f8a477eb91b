#!/usr/bin/env bash
# Makes .venv and installs what else the tests and linters need.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
command -v curl >/dev/null || packages+=(curl)  # the README's commands are tested as they stand there
command -v ps >/dev/null || packages+=(procps)  # `docker top` runs it
command -v ip >/dev/null || packages+=(iproute2)  # clients outside Docker, in network namespaces
command -v systemd-analyze >/dev/null || packages+=(systemd)  # it reads the units of deploy/
scripts/missing.sh "${packages[@]}"
echo "==> .venv, from requirements/test.txt"
python3 -m venv .venv
# A TLS-inspecting proxy's CA is in the host's bundle, which pip does not read by itself.
[ -n "${PIP_CERT:-}" ] || [ ! -s /etc/ssl/certs/ca-certificates.crt ] || export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
# What is imported is compiled then: most of it never is.
.venv/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/test.txt
touch .venv/bin/.installed  # what make looks at
