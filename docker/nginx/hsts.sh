#!/bin/sh
# Writes what Strict-Transport-Security says, before each look of NGINX at its files that follows a change of the
# certificate: nothing, as long as browsers would not trust it. Whoever accepts one all the same would be bound to it.
set -eu

case $(openssl x509 -in /run/tls/tls.crt -noout -issuer 2>/dev/null) in
*'Sightglass self-signed'* | *'(STAGING)'*) policy= ;; # docker/setup.sh's, or Let's Encrypt's for tests
*) if [ "${HSTS_SECONDS:-31536000}" = 0 ]; then policy=; else policy="max-age=${HSTS_SECONDS:-31536000}"; fi ;;
esac
echo "map '' \$hsts_policy { default '$policy'; }" >/tmp/nginx/hsts.conf.new
mv /tmp/nginx/hsts.conf.new /tmp/nginx/hsts.conf # in one step: somebody may be testing the configuration
