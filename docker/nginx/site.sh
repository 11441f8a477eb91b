#!/bin/sh
# Usage: site.sh [--at-start|--check]
# Takes up your own lines, SITE_DIR/nginx/*.conf, if NGINX takes them; else it says why, and those that NGINX had stay.
# What NGINX reads is a copy: lines that are broken by now are in the way of no reload, nor of a start.
set -eu

given=${SITE:-/etc/site/nginx}
read=/tmp/nginx/site # a link to the copy
kept=/tmp/nginx/state/site # the last copy that was good, for the next start
trial=/tmp/nginx/trial

copy() { # FROM TO
    rm -rf "$2" && mkdir -p "$2"
    for file in "$1"/*.conf; do
        [ ! -e "$file" ] || cp "$file" "$2/" || return 1
    done
}

good() { # DIRECTORY: whether NGINX takes it; what it says is in /tmp/nginx/said
    mkdir -p "$trial"
    ln -sfn /etc/sightglass/nginx "$trial/nginx"
    sed "s,$read/,$1/," /etc/sightglass/nginx.conf >"$trial/nginx.conf"
    nginx -t -q -c "$trial/nginx.conf" 2>/tmp/nginx/said
}

# NGINX inherits no proxy_set_header where there is one: what a client claims to be would be the application's to believe.
forwards_ours() { # DIRECTORY: whether each block that passes to the application has the edge's own beside its own
    sed 's/"[^"]*[{}#][^"]*"//g; s/'"'[^']*[{}#][^']*'"'//g; s/#.*//; s/[{}]/\n&\n/g' "$1"/*.conf 2>/dev/null | awk '
        /{/ { block[++depth] = "" }
        { block[depth] = block[depth] $0 }
        /}/ {
            if (block[depth] ~ /location\/pass\.conf/ && block[depth] ~ /proxy_set_header/ && block[depth] !~ /server\/proxy\.conf/) bad = 1
            depth--
        }
        END { exit bad }' || {
        echo "proxy_set_header without the edge's own; expected include nginx/server/proxy.conf beside it" >/tmp/nginx/said
        false
    }
}

use() { # DIRECTORY
    ln -sfn "$1" "$read.new" && mv -T "$read.new" "$read"
}

same() { [ "$(cd "$1" && cat ./*.conf 2>/dev/null | cksum && ls)" = "$(cd "$2" && cat ./*.conf 2>/dev/null | cksum && ls)" ]; }

if [ "$(readlink "$read" 2>/dev/null)" = "$read.a" ]; then candidate=$read.b; else candidate=$read.a; fi
[ -e "$read" ] || { mkdir -p "$read.none" && use "$read.none"; }

if copy "$given" "$candidate" 2>/tmp/nginx/said; then
    changed=true
    if same "$candidate" "$read/"; then changed=false; fi
    if ! $changed || { good "$candidate" && forwards_ours "$candidate"; }; then
        if [ "${1:-}" != --check ]; then copy "$candidate" "$kept" || true; fi
        if $changed; then use "$candidate"; fi
        if $changed && [ $# = 0 ]; then sh "$(dirname "$0")/reload.sh"; fi
        exit 0
    fi
fi
wrong=$(grep -v '\[warn\]\|test failed' /tmp/nginx/said | head -n 1 |
    sed "s,$candidate/,,g; s,$given/,,g; s,$trial/,docker/,g; s,^.*\[[a-z]*\] \([0-9#]*: \)\{0\,1\},,")

mkdir -p "$read.none"
# Where it is not these lines that are wrong, NGINX says what is.
if ! good "$read.none"; then exit 0; fi
printf 'SITE_DIR/nginx: not taken up; expected lines that NGINX takes in its server: %s\n' "$wrong" >&2
if [ "${1:-}" = --at-start ]; then
    if [ -d "$kept" ] && copy "$kept" "$candidate" && good "$candidate"; then use "$candidate"; fi
    exit 0
fi
exit 2
