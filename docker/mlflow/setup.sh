#!/bin/sh
# Writes the password of MLflow's database where PostgreSQL and MLflow read it; what is there already stays, unless another
# is given.
set -eu
# shellcheck source=docker/postgres/password.sh
. "$(dirname "$0")/../postgres/password.sh"

refuse() { printf '%s\n' "$1" >&2; exit 2; }

case ${MLFLOW:-true} in
true) ;;
*) refuse "MLFLOW=$(printf %.200s "$MLFLOW" | tr -c ' -~' '?'): not allowed; expected true, or no such line" ;;
esac

if [ -n "${MLFLOW_DB_PASSWORD_FILE:-}" ]; then
    [ -s /given/password ] && [ -r /given/password ] && [ "$(wc -l </given/password)" -le 1 ] ||
        refuse "MLFLOW_DB_PASSWORD_FILE=$(printf %.200s "$MLFLOW_DB_PASSWORD_FILE" | tr -c ' -~' '?'): not allowed; expected a file of one line that user $(id -u) may read"
    # shellcheck disable=SC2154  # password.sh's
    tr -d '\r\n' </given/password >"$credentials/mlflow.new"
    mv "$credentials/mlflow.new" "$credentials/mlflow"
    echo "MLflow's database: your password"
else
    made_once mlflow "MLflow's database"
fi
