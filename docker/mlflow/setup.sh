#!/bin/sh
# Writes the password of MLflow's database where PostgreSQL and MLflow read it; what is there already stays, unless another
# is given.
set -eu
umask 022  # the volume is mounted only where it is needed, and its readers are other users

refuse() { printf '%s\n' "$1" >&2; exit 2; }

case ${MLFLOW:-true} in
true) ;;
*) refuse "MLFLOW=$(printf %.200s "$MLFLOW" | tr -c ' -~' '?'): not allowed; expected true, or no such line" ;;
esac

file=/run/credentials/mlflow
if [ -n "${MLFLOW_DB_PASSWORD_FILE:-}" ]; then
    [ -s /given/password ] && [ -r /given/password ] && [ "$(wc -l </given/password)" -le 1 ] ||
        refuse "MLFLOW_DB_PASSWORD_FILE=$(printf %.200s "$MLFLOW_DB_PASSWORD_FILE" | tr -c ' -~' '?'): not allowed; expected a file of one line that user $(id -u) may read"
    tr -d '\r\n' </given/password >$file.new
    mv $file.new $file
    echo "MLflow's database: your password"
elif [ -s $file ]; then
    echo "MLflow's database: password kept"
else
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >$file.new
    mv $file.new $file
    echo "MLflow's database: password generated"
fi
