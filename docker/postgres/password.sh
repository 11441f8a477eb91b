# shellcheck shell=sh
# A role's password, in a file of its name, where PostgreSQL and those who connect to it read it. Sourced.
umask 022 # the volume is mounted only where it is needed, and its readers are other users
credentials=/run/credentials

made_once() { # ROLE, whose it is for people
    if [ -s "$credentials/$1" ]; then
        echo "$2: password kept"
    else
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$credentials/$1.new"
        mv "$credentials/$1.new" "$credentials/$1"
        echo "$2: password generated"
    fi
}
