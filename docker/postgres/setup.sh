#!/bin/sh
# Makes the password of the jobs' role where PostgreSQL, its exporter, the API and the job processes read it; once.
set -eu
# shellcheck source=docker/postgres/password.sh
. "$(dirname "$0")/password.sh"
made_once sightglass "the jobs' database"
