#!/usr/bin/env bash
# Installs what draws dashboards: Node, Chromium, and Grafana's packages as monitoring/draw/package-lock.json pins them.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
[ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null || packages+=(chromium)
scripts/missing.sh "${packages[@]}" || { echo "CHROMIUM names a browser that is elsewhere" >&2; exit 1; }
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] || { echo "Node $(node -v): 18 or later is needed" >&2; exit 1; }
echo "==> monitoring/draw/node_modules, from package-lock.json"
# A TLS-inspecting proxy's CA is in the host's bundle, which Node does not read by itself.
[ -n "${NODE_EXTRA_CA_CERTS:-}" ] || [ ! -s /etc/ssl/certs/ca-certificates.crt ] \
    || export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
(cd monitoring/draw && npm ci --silent)
touch monitoring/draw/node_modules/.installed  # what make looks at
