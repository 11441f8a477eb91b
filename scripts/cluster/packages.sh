#!/usr/bin/env bash
# Usage: packages.sh DIRECTORY PACKAGE…
# Fetches packages of Debian forky, verified by its own keys, into a directory; nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1
shift
mirror=$("$here/../debian-mirror.sh")
apt=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::Status=$work/status"  # whatever is installed here
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)  # a mirror may be past its date
mkdir -p "$work/lists/partial"
: >"$work/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" >"$work/sources.list"
apt-get -qq "${apt[@]}" update
cd "$work"
apt-get -qq "${apt[@]}" download "$@"
