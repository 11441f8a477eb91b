#!/usr/bin/env bash
# over-ssh.sh [USER@]HOST:DIRECTORY COMMAND…: runs a command in a directory of another machine, by ssh's own configuration.
set -euo pipefail
machine=$1
shift
if ! [[ $machine =~ ^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*:/[^[:cntrl:]]*$ ]]; then
    echo "MACHINE=${machine//[^ -~]/?}: not allowed; expected USER@HOST:/DIRECTORY, where the project is on that machine" >&2
    exit 2
fi
# One line for the shell at the other end, each word quoted. Nobody is there to be asked for a password or a host's key.
exec ssh -o BatchMode=yes "${machine%%:*}" "cd $(printf '%q' "${machine#*:}") && $(printf '%q ' "$@")"
