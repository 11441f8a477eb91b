#!/usr/bin/env bash
# missing.sh [PACKAGE…]: installs what is missing, as root; tells anybody else what to run.
set -euo pipefail
[ $# -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "Missing. As root, run: apt-get install $*" >&2; exit 1; }
cd "$(dirname "$0")"
echo "==> $*"
./apt.sh update
./apt.sh install "$@"
