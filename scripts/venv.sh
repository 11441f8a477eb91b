#!/usr/bin/env bash
# Makes .venv with everything the tests and linters need.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "python3-venv is missing. As root, run: apt-get install python3-venv" >&2; exit 1; }
    echo "==> python3-venv"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qqy install --no-install-recommends python3-venv >/dev/null
fi
echo "==> .venv, from requirements/test.txt"
python3 -m venv .venv
# A TLS-inspecting proxy's CA is in the host's bundle, which pip does not read by itself.
[ -n "${PIP_CERT:-}" ] || [ ! -s /etc/ssl/certs/ca-certificates.crt ] || export PIP_CERT=/etc/ssl/certs/ca-certificates.crt
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
touch .venv/bin/.installed  # what make looks at
