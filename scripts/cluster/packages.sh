#!/usr/bin/env bash
# Usage: packages.sh SUITE DIRECTORY PACKAGE…
# Fetches packages of a Debian, verified by its own keys, into a directory; nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 work=$2
shift 2
mirror=$("$here/../debian-mirror.sh")
apt=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::Status=$work/status"  # whatever is installed here
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)  # a mirror may be past its date
mkdir -p "$work/lists/partial"
: >"$work/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$work/sources.list"
apt-get -qq "${apt[@]}" update
cd "$work"
apt-get -qq "${apt[@]}" download "$@"
