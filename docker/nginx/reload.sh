#!/bin/sh
# Makes NGINX read its files again if they are right; requests under way finish under the old ones.
set -eu
nginx -t -q -c /etc/sightglass/nginx.conf
kill -HUP "$(cat /tmp/nginx/nginx.pid)"
