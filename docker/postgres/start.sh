#!/bin/sh
# Becomes PostgreSQL: with a cluster, made at the first start, and in it a role and a database for each file in
# /run/postgres and /run/database, whose content is the password. Another content is another password from the next start on.
# Dumps that a restore has put in /var/lib/postgresql/restore, by their databases' names, are taken in.
set -eu
: "${PGDATA:=/var/lib/postgresql/18/docker}"
export PGDATA
PATH=$PATH:/usr/lib/postgresql/18/bin
home=/var/lib/postgresql
exec 9>$home/lock
flock 9  # for as long as the server runs: whether it does is what backups look at (docker/backup/copies.py)
# So none runs now. What one that was killed has left names a process of this number in its container: as a rule this one.
rm -f "$PGDATA/postmaster.pid"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # The administrator is who runs this, inside this container: there is no password that could be had elsewhere.
    initdb --username=postgres --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 \
        --data-checksums >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "postgres: made a cluster in $PGDATA"
fi

# The server's single-user mode: before anybody can connect. What is there already is an error that stays unsaid; what ends
# the server, a full disk for one, is not.
alone() {
    said=$(printf '%s\n' "$1" | postgres --single postgres 2>&1) || {
        printf '%s\n' "$said" | grep -vi password >&2
        exit 1
    }
}
for file in /run/postgres/* /run/database/*; do
    [ -s "$file" ] || continue
    name=$(basename "$file")
    password=$(sed "s/'/''/g" "$file")
    alone "CREATE ROLE \"$name\" LOGIN"
    alone "CREATE DATABASE \"$name\" OWNER \"$name\""
    alone "ALTER ROLE \"$name\" PASSWORD '$password'"
done

if [ -d $home/restore ]; then
    pg_ctl --silent --wait --timeout=600 --options="-c listen_addresses=''" start
    for dump in "$home"/restore/*; do
        name=$(basename "$dump")
        pg_restore --username=postgres --dbname="$name" --role="$name" --no-owner --clean --if-exists \
            --single-transaction "$dump"
        echo "postgres: restored the database $name"
    done
    pg_ctl --silent --wait --timeout=600 stop
    rm -r $home/restore
fi

mkdir -p $home/dumps
sh /etc/sightglass/postgres/dumps.sh 9>&- &
exec postgres -c listen_addresses='*' -c log_destination=stderr -c password_encryption=scram-sha-256
