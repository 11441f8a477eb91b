#!/bin/sh
# Renders alertmanager.yml with the receivers and timings of the environment, then becomes Alertmanager.
# Secrets are read by Alertmanager from the files named; they never pass through here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${ALERTMANAGER_RENDER_DIR:-/tmp/alertmanager}

refuse() { # NAME EXPECTED
  eval "value=\${$1:-}"
  # shellcheck disable=SC2154  # set by eval
  printf '%s=%s: not allowed; expected %s\n' "$1" "$(printf '%s' "$value" | tr -c ' -~' '?')" "$2" >&2
  exit 2
}
# A value is checked as one line: a second line could bring configuration of its own.
check() { # NAME PATTERN EXPECTED
  eval "value=\${$1:-}"
  [ -z "$value" ] && return
  case $value in *"
"*) refuse "$1" "$3" ;; esac
  printf '%s\n' "$value" | grep -Eq "$2" || refuse "$1" "$3"
}
check_file() { # NAME
  eval "value=\${$1:-}"
  [ -z "$value" ] && return
  check "$1" '^/[A-Za-z0-9._/-]+$' 'the absolute path of a file'
  [ -f "$value" ] && [ -r "$value" ] && [ -s "$value" ] || refuse "$1" 'a readable file that is not empty'
}
needs() { # NAME OTHER
  eval "value=\${$1:-}; other=\${$2:-}"
  # shellcheck disable=SC2154  # set by eval
  [ -z "$value" ] || [ -n "$other" ] || refuse "$2" "a value, because $1 is set"
}

port='([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
host='([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])'
# No braces: Alertmanager takes many values as templates.
rest="([^][{}%'\"\`[:space:]\\\\]|%[0-9A-Fa-f]{2})*"
url="^https?://([^]/?#@{}%'\"\`[:space:]\\\\[]+@)?$host(:$port)?([/?#]$rest)?\$"
# RFC 5322, 3.4: address, or Name <address>; in a list, commas between.
atom="[^][()<>@,;:.{}\"\`[:space:][:cntrl:]\\\\]+"
address="$atom([.]$atom)*@$atom([.]$atom)*"
word="($atom|[.]|\"[^\"{}\\\\]*\")"
mailbox=" *(($word *)*<$address>|$address) *"
# A unit each, the largest first; some 270 years at most.
time='^([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?([0-9]{1,5}ms)?$'
interval() { # NAME EXAMPLE
  check "$1" "$time" "a time above 0 such as $2"
  check "$1" '[1-9]' "a time above 0 such as $2"
}
check ALERT_WEBHOOK_URL "$url" 'an http:// or https:// address'
check_file ALERT_WEBHOOK_URL_FILE
check_file ALERT_SLACK_WEBHOOK_FILE
check ALERT_HEARTBEAT_URL "$url" 'an http:// or https:// address'
check ALERT_EMAIL_TO "^$mailbox(,$mailbox)*\$" 'mail addresses, separated by commas, each a@example.org or Name <a@example.org>'
check ALERT_EMAIL_FROM "^$mailbox\$" 'one mail address, a@example.org or Name <a@example.org>'
check ALERT_EMAIL_SMARTHOST "^$host:$port\$" 'host:port'
check ALERT_EMAIL_USERNAME "^[^'\"[:space:]\\\\]+\$" 'a user name without spaces and quotes'
check_file ALERT_EMAIL_PASSWORD_FILE
check ALERT_EMAIL_REQUIRE_TLS '^(true|false)$' 'true or false'
check ALERT_GROUP_WAIT "$time" 'a time such as 30s or 5m'
interval ALERT_GROUP_INTERVAL 5m
interval ALERT_REPEAT_INTERVAL 12h
needs ALERT_EMAIL_TO ALERT_EMAIL_FROM
needs ALERT_EMAIL_TO ALERT_EMAIL_SMARTHOST
needs ALERT_EMAIL_USERNAME ALERT_EMAIL_PASSWORD_FILE

quoted() { printf '%s' "$1" | sed "s/'/''/g"; } # for YAML's single quotes

mkdir -p "$out"
{
  if [ -n "${ALERT_WEBHOOK_URL:-}" ]; then
    printf "    webhook_configs:\n      - url: '%s'\n" "$ALERT_WEBHOOK_URL"
  elif [ -n "${ALERT_WEBHOOK_URL_FILE:-}" ]; then
    printf "    webhook_configs:\n      - url_file: '%s'\n" "$ALERT_WEBHOOK_URL_FILE"
  fi
  if [ -n "${ALERT_SLACK_WEBHOOK_FILE:-}" ]; then
    printf "    slack_configs:\n      - api_url_file: '%s'\n        send_resolved: true\n" "$ALERT_SLACK_WEBHOOK_FILE"
    printf "        title: '{{ template \"sightglass.title\" . }}'\n        text: '{{ template \"sightglass.text\" . }}'\n"
  fi
  if [ -n "${ALERT_EMAIL_TO:-}" ]; then
    printf "    email_configs:\n      - to: '%s'\n        from: '%s'\n        smarthost: '%s'\n        send_resolved: true\n" \
      "$(quoted "$ALERT_EMAIL_TO")" "$(quoted "$ALERT_EMAIL_FROM")" "$ALERT_EMAIL_SMARTHOST"
    printf "        require_tls: %s\n" "${ALERT_EMAIL_REQUIRE_TLS:-true}"
    printf "        headers: {Subject: '{{ template \"sightglass.title\" . }}'}\n"
    printf "        html: ''\n        text: '{{ template \"sightglass.text\" . }}'\n"
    [ -z "${ALERT_EMAIL_USERNAME:-}" ] || printf "        auth_username: '%s'\n        auth_password_file: '%s'\n" \
      "$ALERT_EMAIL_USERNAME" "$ALERT_EMAIL_PASSWORD_FILE"
  fi
} >"$out/operators"
if [ -n "${ALERT_HEARTBEAT_URL:-}" ]; then
  printf "    webhook_configs:\n      - url: '%s'\n        send_resolved: false\n" "$ALERT_HEARTBEAT_URL"
fi >"$out/heartbeat"
[ -s "$out/operators" ] || echo 'No ALERT_* receiver is set: alerts are shown by Alertmanager and Grafana and sent to nobody.' >&2

sed -e "s|^  group_wait: .*|  group_wait: ${ALERT_GROUP_WAIT:-30s}|" \
  -e "s|^  group_interval: .*|  group_interval: ${ALERT_GROUP_INTERVAL:-5m}|" \
  -e "s|^  repeat_interval: .*|  repeat_interval: ${ALERT_REPEAT_INTERVAL:-12h}|" \
  -e "/^  - name: operators\$/r $out/operators" \
  -e "/^  - name: heartbeat\$/r $out/heartbeat" \
  "$here/../alertmanager.yml" >"$out/alertmanager.yml"
printf 'templates: [%s/*.tmpl]\n' "$here" >>"$out/alertmanager.yml"

# One instance: no cluster to listen for.
exec alertmanager --config.file="$out/alertmanager.yml" --cluster.listen-address= "$@"
