#!/bin/sh
# Usage: setup.sh [another-certificate]
# Writes the certificate and the passwords that the other services read, into the volumes they read them from.
# What is there already stays, so a second start changes nothing; of a self-signed certificate, another can be asked for.
set -eu
umask 022  # each volume is mounted only where its content is needed; within it another user must be able to read

refuse() { printf '%s\n' "$1" >&2; exit 2; }

tls=/run/tls
names=${SERVER_NAME:-}
OURS="Sightglass self-signed"

# As docker/nginx/start.sh checks them, which comes later: a comma would begin another name of the certificate.
set -f
for name in $names; do
    printf '%s\n' "$name" | grep -Eqx '[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*' ||
        refuse "SERVER_NAME=$(printf %.200s "$names" | tr -c ' -~' '?'): not allowed; expected host names in lower case, separated by spaces"
done

ours() { case $(openssl x509 -in $tls/tls.crt -noout -subject) in *"$OURS"*) ;; *) return 1 ;; esac; }

# The certificate there is serves: somebody else's always, one of ours while it has its key, all names and a month to go.
fits() {
    [ -s $tls/tls.crt ] && [ -s $tls/tls.key ] || return 1
    ours || return 0
    # One that was cut off between the two files has another's.
    [ "$(openssl x509 -in $tls/tls.crt -noout -pubkey)" = "$(openssl pkey -in $tls/tls.key -pubout)" ] || return 1
    openssl x509 -in $tls/tls.crt -noout -checkend 2592000 >/dev/null || return 1
    for name in $names; do
        case $(openssl x509 -in $tls/tls.crt -noout -checkhost "$name") in *"does match"*) ;; *) return 1 ;; esac
    done
}

# What the host gives the containers of this user. Looked at here, as others would say less, over and over: that a file
# or directory is there at all, Docker itself insists on.
given() { # NAME TEST KIND
    eval "value=\${$1:-}"
    # shellcheck disable=SC2154  # set by eval
    [ -z "$value" ] || { test "$2" "/given/$1" && [ -r "/given/$1" ] && { [ "$2" = -f ] || [ -x "/given/$1" ]; }; } ||
        refuse "$1=$(printf '%s' "$value" | tr -c ' -~' '?'): not allowed; expected $3 that user $(id -u) may read"
}
given APP_DIR -d "a directory"
given MODELS_DIR -d "a directory"
given DATA_DIR -d "a directory"
given API_KEYS_FILE -f "a file"
given TLS_CERT -f "a file"
given TLS_KEY -f "a file"
given GRAFANA_PASSWORD_FILE -f "a file"

if [ -n "${TLS_CERT:-}${TLS_KEY:-}" ]; then
    # Checked here, because NGINX would say less and only after a restart loop.
    [ -n "${TLS_CERT:-}" ] || refuse "TLS_CERT=: not allowed; expected a file, because TLS_KEY is set"
    [ -n "${TLS_KEY:-}" ] || refuse "TLS_KEY=: not allowed; expected a file, because TLS_CERT is set"
    certificate=$(openssl x509 -in /given/TLS_CERT -noout -pubkey 2>/dev/null) ||
        refuse "TLS_CERT: not a certificate; expected a PEM file, the server's own certificate first"
    key=$(openssl pkey -in /given/TLS_KEY -pubout 2>/dev/null) ||
        refuse "TLS_KEY: not a private key; expected a PEM file without a passphrase"
    [ "$certificate" = "$key" ] || refuse "TLS_KEY: not the key of TLS_CERT; expected the two to belong together"
    # Not cp, which keeps a mode that only its owner may read.
    cat /given/TLS_KEY > $tls/new.key
    mv $tls/new.key $tls/tls.key
    cat /given/TLS_CERT > $tls/new.crt
    mv $tls/new.crt $tls/tls.crt
    rm -f $tls/acme.prom  # what docker/acme told of another
    echo "certificate: yours ($(openssl x509 -in $tls/tls.crt -noout -enddate))"
elif fits && { [ "${1:-}" != another-certificate ] || ! ours; }; then
    echo "certificate: kept ($(openssl x509 -in $tls/tls.crt -noout -enddate))"
else
    alternatives=DNS:localhost,IP:127.0.0.1
    for name in $names; do alternatives=$alternatives,DNS:$name; done
    said=$(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -sha256 -days 825 \
        -subj "/CN=$OURS" -addext "subjectAltName=$alternatives" -addext "extendedKeyUsage=serverAuth" \
        -keyout $tls/new.key -out $tls/new.crt 2>&1) || {
        rm -f $tls/new.*
        refuse "SERVER_NAME=$names: no certificate can be made for it; expected host names, separated by spaces ($(
            printf '%s\n' "$said" | tail -n 1))"
    }
    chmod 644 $tls/new.key
    mv $tls/new.key $tls/tls.key
    mv $tls/new.crt $tls/tls.crt
    echo "certificate: self-signed for ${names:-localhost}, generated"
fi

credentials=/run/credentials
if [ ! -s $credentials/grafana_admin_password ]; then
    if [ -n "${GRAFANA_PASSWORD_FILE:-}" ]; then
        if ! password=$(grep -Ex '[!-~]{16,128}' /given/GRAFANA_PASSWORD_FILE) || [ "$(wc -l </given/GRAFANA_PASSWORD_FILE)" -gt 1 ]; then
            refuse "GRAFANA_PASSWORD_FILE: not a password; expected one line of 16 to 128 printable characters without spaces"
        fi
        printf %s "$password" > $credentials/new
        mv $credentials/new $credentials/grafana_admin_password
        echo "Grafana's admin password: yours"
    else
        openssl rand -base64 24 | tr -d '\n' > $credentials/new
        mv $credentials/new $credentials/grafana_admin_password
        echo "Grafana's admin password: generated"
    fi
else
    echo "Grafana's admin password: kept"
fi

operators=/run/operators
[ ! -s $operators/password.next ] || sh "$(dirname "$0")/rotate.sh" end $operators/password  # it was cut off
if [ ! -s $operators/password ] || [ ! -s $operators/htpasswd ]; then
    (umask 077 && openssl rand -hex 24 | tr -d '\n' > $operators/new)
    printf 'operator:%s\n' "$(openssl passwd -5 -stdin < $operators/new)" > $operators/htpasswd
    mv $operators/new $operators/password
    echo "the operators' password: generated"
else
    echo "the operators' password: kept"
fi

queue=/run/valkey
if [ -d $queue ] && [ ! -s $queue/password ]; then
    openssl rand -hex 24 | tr -d '\n' > $queue/new
    mv $queue/new $queue/password
    echo "Valkey's password: generated"
fi

# NGINX's user writes there; nobody else has the volume.
[ ! -d /run/edge ] || chmod 0777 /run/edge
