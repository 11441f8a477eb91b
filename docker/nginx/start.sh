#!/bin/sh
# The container's entry point: checks the environment, writes what depends on it below /tmp/nginx, watches the
# certificate, and becomes NGINX. A wrong value ends it with one line and status 2. With --check it only says whether it
# could.
set -eu

here=$(dirname "$0")
out=/tmp/nginx
mkdir -p "$out"

# The counters outlive NGINX in the volume there is for them.
state=/var/lib/edge
if [ "${1:-}" = --check ] || [ ! -w "$state" ]; then
    state=/tmp/nginx/unkept
    mkdir -p "$state"
fi
ln -sfn "$state" "$out/state"

refuse() { # name value expected
    printf '%s=%s: not allowed; expected %s\n' "$1" "$(printf %.200s "$2" | tr -c ' -~' '?')" "$3" >&2
    exit 2
}

number() { # name value least most
    case $2 in
    '' | *[!0-9]* | 0?* | ????????????*) refuse "$1" "$2" "a whole number from $3 to $4" ;;
    esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then refuse "$1" "$2" "a whole number from $3 to $4"; fi
}

matching() { # name value pattern expected: every word of value matches the extended regular expression
    case $2 in *[!\ -~]*) refuse "$1" "$2" "$4" ;; esac
    set -f
    for word in $2; do
        printf '%s\n' "$word" | grep -Eqx "$3" || refuse "$1" "$2" "$4"
    done
}

matching_one() { # the same of a value that is one word
    case $2 in *[[:space:]]*) refuse "$1" "$2" "$4" ;; esac
    matching "$@"
}

RATE_LIMIT=${RATE_LIMIT:-10}
RATE_BURST=${RATE_BURST:-20}
RATE_PAGE_BURST=${RATE_PAGE_BURST:-100}
RATE_LIMIT_EXEMPT=${RATE_LIMIT_EXEMPT:-}
RATE_LIMIT_DRY_RUN=${RATE_LIMIT_DRY_RUN:-false}
CONNECTION_LIMIT=${CONNECTION_LIMIT:-100}
MAX_REQUEST_SIZE_BYTES=${MAX_REQUEST_SIZE_BYTES:-314572800}
HTTPS_PORT=${HTTPS_PORT:-443}
PUBLIC_PORT=${PUBLIC_PORT:-}
SERVER_NAME=${SERVER_NAME:-}
TRUSTED_PROXIES=${TRUSTED_PROXIES:-}
CACHED_PATHS=${CACHED_PATHS:-}
UPSTREAM_TIMEOUT=${UPSTREAM_TIMEOUT:-300}
UPSTREAM_HEAD_BYTES=${UPSTREAM_HEAD_BYTES:-32768}
HSTS_SECONDS=${HSTS_SECONDS:-31536000}
TLS_CHECK_SECONDS=${TLS_CHECK_SECONDS:-10}
NGINX_WORKERS=${NGINX_WORKERS:-2}
HTTP3=${HTTP3:-false}
UNDERSCORES_IN_HEADERS=${UNDERSCORES_IN_HEADERS:-true}
CORS_ORIGINS=${CORS_ORIGINS:-}
SLOW_ROUTES=${SLOW_ROUTES:-}
# Not settings of Compose's, which has one edge: among so many edges a client's limits are shared, …
edges=${EDGES:-1}
# … and a DNS that completes no names, as Kubernetes' does not for NGINX, has the API under its whole one.
export UPSTREAM="${UPSTREAM:-api}"

octet='([1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])'
ipv4="$octet(\\.$octet){3}"
h='[0-9A-Fa-f]{1,4}'
# RFC 4291, 2.2: eight groups, or fewer around one `::`, or that before an IPv4 address. NGINX has `::` for two or more.
ipv6="($h:){7}$h|($h:){1,6}:|($h:){1,5}:$h|($h:){1,4}(:$h){2}|($h:){1,3}(:$h){3}|($h:){1,2}(:$h){4}|$h:(:$h){5}"
ipv6="$ipv6|:(:$h){1,6}|::|::([Ff]{4}:)?$ipv4"
ranges="$ipv4(/([0-9]|[12][0-9]|3[0-2]))?|($ipv6)(/([1-9]?[0-9]|1[01][0-9]|12[0-8]))?"
once() { # name value expected: no word of value stands there twice
    # shellcheck disable=SC2086  # words
    [ -z "$(printf '%s\n' $2 | sort | uniq -d)" ] || refuse "$1" "$2" "$3, each once"
}

number RATE_LIMIT "$RATE_LIMIT" 1 1000000
number RATE_BURST "$RATE_BURST" 0 1000000
number RATE_PAGE_BURST "$RATE_PAGE_BURST" 0 1000000
matching RATE_LIMIT_EXEMPT "$RATE_LIMIT_EXEMPT" "$ranges" "addresses or CIDR ranges, separated by spaces"
case $RATE_LIMIT_DRY_RUN in
true) dry_run=on ;;
false) dry_run=off ;;
*) refuse RATE_LIMIT_DRY_RUN "$RATE_LIMIT_DRY_RUN" "true or false" ;;
esac
case $HTTP3 in
true | false) ;;
*) refuse HTTP3 "$HTTP3" "true or false" ;;
esac
case $UNDERSCORES_IN_HEADERS in
true) underscores=on ;;
false) underscores=off ;;
*) refuse UNDERSCORES_IN_HEADERS "$UNDERSCORES_IN_HEADERS" "true or false" ;;
esac
number CONNECTION_LIMIT "$CONNECTION_LIMIT" 1 65535
number MAX_REQUEST_SIZE_BYTES "$MAX_REQUEST_SIZE_BYTES" 1024 10737418240
number HTTPS_PORT "$HTTPS_PORT" 1 65535
number PUBLIC_PORT "${PUBLIC_PORT:=$HTTPS_PORT}" 1 65535
matching SERVER_NAME "$SERVER_NAME" '[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*' \
    "host names in lower case, separated by spaces"
matching TRUSTED_PROXIES "$TRUSTED_PROXIES" "$ranges" "addresses or CIDR ranges, separated by spaces"
matching CACHED_PATHS "$CACHED_PATHS" '(/[A-Za-z0-9._~-]+)+/?' "paths, separated by spaces"
matching SLOW_ROUTES "$SLOW_ROUTES" '/[][A-Za-z0-9._~{}/:@%+,=()*-]*' "route templates, separated by spaces"
once CACHED_PATHS "$CACHED_PATHS" "paths, separated by spaces"
case " $CACHED_PATHS " in
*' /.well-known/acme-challenge/ '*) refuse CACHED_PATHS "$CACHED_PATHS" "no path of the certificate's challenges" ;;
esac
if [ "$CORS_ORIGINS" != '*' ]; then
    # As browsers send them (RFC 6454): in lower case, without a path, and without the port that the scheme implies.
    host='[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]'
    matching CORS_ORIGINS "$CORS_ORIGINS" "[a-z][a-z0-9+.-]*://($host)(:[1-9][0-9]{0,4})?" \
        "* or origins in lower case, SCHEME://HOST[:PORT], separated by spaces"
    once CORS_ORIGINS "$CORS_ORIGINS" "origins, separated by spaces"
    for origin in $CORS_ORIGINS; do
        case $origin in
        http://*:80 | https://*:443) refuse CORS_ORIGINS "$origin" "no port that is the scheme's own: browsers leave it out" ;;
        esac
    done
fi
matching_one UPSTREAM "$UPSTREAM" '[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*' "one host name in lower case"
number UPSTREAM_TIMEOUT "$UPSTREAM_TIMEOUT" 1 86400
number UPSTREAM_HEAD_BYTES "$UPSTREAM_HEAD_BYTES" 4096 1048576
number HSTS_SECONDS "$HSTS_SECONDS" 0 999999999
number TLS_CHECK_SECONDS "$TLS_CHECK_SECONDS" 1 3600
number NGINX_WORKERS "$NGINX_WORKERS" 1 64
number EDGES "$edges" 1 1000

for file in /run/tls/tls.crt /run/tls/tls.key; do
    if [ ! -r "$file" ]; then
        printf '%s: not readable; expected a PEM file readable by uid %s\n' "$file" "$(id -u)" >&2
        exit 2
    fi
done

set -f # the lists below are words, never file names

if [ "$PUBLIC_PORT" = 443 ]; then port=; else port=":$PUBLIC_PORT"; fi
if [ "$HTTP3" = true ]; then alt_svc="h3=\":$PUBLIC_PORT\"; ma=86400"; else alt_svc=; fi
share() { echo $((($1 + edges - 1) / edges)); } # of what all edges together allow; rounded up
rate="$(share $((60 * RATE_LIMIT)))r/m" # NGINX knows no parts of a request a second
RATE_BURST=$(share "$RATE_BURST") RATE_PAGE_BURST=$(share "$RATE_PAGE_BURST") CONNECTION_LIMIT=$(share "$CONNECTION_LIMIT")

if [ "$RATE_BURST" = 0 ]; then burst=; else burst=" burst=$RATE_BURST nodelay"; fi

if [ "$RATE_BURST" = 0 ]; then delay=; else delay=" delay=$RATE_BURST"; fi

each() { # format words: the format once for each word
    format=$1
    shift
    for word in "$@"; do
        # shellcheck disable=SC2059
        printf "$format\n" "$word"
    done
}

resolver() { # the container's first name server: Docker's own, or a cluster's
    sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf | sed -n '1{s/[[:space:]].*//; s/.*:.*/[&]/; p; q;}' |
        grep . || echo 127.0.0.11 # without a network nobody is asked
}

listens() { # parameters, further ones of QUIC's, which only one server may give
    for any in '' '[::]:'; do
        if [ -n "$any" ] && [ ! -e /proc/net/if_inet6 ]; then continue; fi
        echo "listen ${any}8080 $1;"
        echo "listen ${any}8443 ssl $1;"
        if [ "$HTTP3" = true ]; then echo "listen ${any}8443 quic $1 $2;"; fi
    done
}

# shellcheck disable=SC2086
{
    echo "# Written by start.sh from the environment."
    echo "resolver $(resolver) valid=2s ipv6=off;"
    each 'set_real_ip_from %s;' $TRUSTED_PROXIES
    echo "geo \$realip_remote_addr \$from_trusted_proxy { default 0; $(each '%s 1;' $TRUSTED_PROXIES) }"
    echo "geo \$client_exempt { default 0; $(each '%s 1;' $RATE_LIMIT_EXEMPT) }"
    if [ "$RATE_PAGE_BURST" = 0 ]; then
        echo "limit_req_zone \$limit_key zone=rate:10m rate=$rate;"
    else
        echo "limit_req_zone \$request_key zone=rate:10m rate=$rate;"
        echo "limit_req_zone \$page_key zone=pages:10m rate=$rate;"
    fi
    echo "map '' \$public_port { default '$port'; }"
    echo "map '' \$alt_svc { default '$alt_svc'; }"
    echo "client_max_body_size $MAX_REQUEST_SIZE_BYTES;"
    echo "proxy_read_timeout ${UPSTREAM_TIMEOUT}s;"
    echo "proxy_send_timeout ${UPSTREAM_TIMEOUT}s;"
    echo "underscores_in_headers $underscores;"
    if [ "$CORS_ORIGINS" = '*' ]; then
        echo "map '' \$cors_origin { default '*'; }"
    else
        echo "map \$http_origin \$cors_origin { default ''; $(each "\"%s\" \$http_origin;" $CORS_ORIGINS) }"
    fi
    if [ "${CORS_ORIGINS:-*}" = '*' ]; then vary=; else vary=Origin; fi
    echo "map '' \$cors_vary { default '$vary'; }"
    echo "map '' \$slow_routes { default '$SLOW_ROUTES'; }"
    echo "map '' \$upstream_head_bytes { default $UPSTREAM_HEAD_BYTES; }"
    echo "proxy_buffer_size $UPSTREAM_HEAD_BYTES;"
    echo "proxy_buffers 8 $UPSTREAM_HEAD_BYTES;"
    if [ -n "$SERVER_NAME" ]; then
        echo "server { $(listens default_server '') include nginx/server/unknown-names.conf; }"
    fi
} >"$out/http.conf"

# shellcheck disable=SC2086
{
    echo "# Written by start.sh from the environment."
    if [ -n "$SERVER_NAME" ]; then
        listens '' reuseport
        # Its own name on Docker's networks too: what the probe of docker/prometheus.yml asks for.
        case " $SERVER_NAME " in
        *' nginx '*) echo "server_name $SERVER_NAME;" ;;
        *) echo "server_name $SERVER_NAME nginx;" ;;
        esac
    else
        listens default_server reuseport # a packet reaches the worker that has its connection
        echo 'server_name _;'
    fi
    echo 'http2 on;'
    echo "limit_req zone=rate$burst;"
    if [ "$RATE_PAGE_BURST" != 0 ]; then echo "limit_req zone=pages burst=$RATE_PAGE_BURST$delay;"; fi
    echo "limit_req_dry_run $dry_run;"
    echo "limit_conn connections $CONNECTION_LIMIT;"
    echo "limit_conn_dry_run $dry_run;"
    each 'location %s { include nginx/location/pass.conf; include nginx/location/proxy-cached.conf; }' $CACHED_PATHS
} >"$out/server.conf"

if grep -q js_access /usr/lib/nginx/modules/ngx_http_js_module.so; then # since njs 1.0
    echo 'js_access replicas.gate;' >"$out/gate.conf"
    echo 'js_access refusals.refuse;' >"$out/refuse.conf"
else
    : >"$out/gate.conf"
    echo "return 429 \$problem_body;" >"$out/refuse.conf"
fi

export HSTS_SECONDS
sh "$here/hsts.sh"
sh "$here/pin.sh" --no-reload
sh "$here/site.sh" "${1:---at-start}"

if [ "${1:-}" = --check ]; then exec nginx -t -q -c /etc/sightglass/nginx.conf; fi

# A file that cannot be read would be the end of every start. NGINX names one at a time.
for file in metrics routes routes_version; do
    if nginx -t -c /etc/sightglass/nginx.conf 2>&1 | grep -q "\[emerg\].*/state/$file\.json"; then
        echo "$file.json cannot be read: what was kept in it is forgotten" >&2
        rm -f "$state/$file.json"
    fi
done

# What a kill has thrown behind what a scrape has seen (metrics.js).
kept=$(grep -o '"requests\\n[^"]*":{"value":[0-9]*' "$state/metrics.json" 2>/dev/null | awk -F: '{sum += $NF} END {printf "%.0f", sum}')
told=$(grep -Ex '[0-9]{1,18}' "$state/told" 2>/dev/null || echo 0) # the kill may have cut it
if [ "$kept" -lt "$told" ]; then
    echo "metrics.json is older than the last scrape: the counters begin anew" >&2
    rm -f "$state/metrics.json"
fi
rm -f "$state/told"

fingerprint() { cat /run/tls/tls.crt /run/tls/tls.key 2>/dev/null | cksum; }

watch_certificate() {
    seen=$(fingerprint)
    while sleep "$TLS_CHECK_SECONDS"; do
        now=$(fingerprint)
        if [ "$now" != "$seen" ]; then
            seen=$now
            sh "$here/hsts.sh"
            sh "$here/reload.sh" || true # its own message says why; the old certificate stays in use
        fi
    done
}
watch_certificate &

# For metrics.js: how many connections there may be, clients' and replicas' together.
each=$(sed -n 's/^ *worker_connections \([0-9]*\);.*/\1/p' /etc/sightglass/nginx.conf)
export EDGE_CONNECTIONS=$((NGINX_WORKERS * each))
exec perl "$here/log.pl" nginx -c /etc/sightglass/nginx.conf -g "daemon off; worker_processes $NGINX_WORKERS; env EDGE_CONNECTIONS; env UPSTREAM;"
