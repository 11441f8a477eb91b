#!/bin/sh
# The end of an edge that others take the place of, before NGINX itself is told to end. Usage: retire.sh SECONDS SECONDS
# For so long new connections may still come; then those that are kept alive end with their next answer, and for so long
# Prometheus may read what they have counted.
set -eu
sleep "$1"
# The files may be those of the next version already, which this NGINX need not take: connections end later then.
sh "$(dirname "$0")/reload.sh" || true
sleep "$2"
