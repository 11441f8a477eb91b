#!/bin/sh
# Makes the password of the jobs' role where PostgreSQL, its exporter, the API and the job processes read it; once.
set -eu
umask 022  # the volume is mounted only where it is needed, and PostgreSQL is another user

file=/run/credentials/sightglass
if [ -s $file ]; then
    echo "the jobs' database: password kept"
else
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >$file.new
    mv $file.new $file
    echo "the jobs' database: password generated"
fi
