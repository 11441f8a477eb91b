#!/bin/sh
# Becomes MLflow's server. The database's password goes by a file of libpq's (PGPASSFILE): neither the environment nor the
# command line has it.
set -eu
umask 077
host=${MLFLOW_DB_HOST:-postgres} port=${MLFLOW_DB_PORT:-5432} name=${MLFLOW_DB_NAME:-mlflow} user=${MLFLOW_DB_USER:-mlflow}
printf '*:*:*:*:%s\n' "$(sed 's/[\\:]/\\&/g' /run/mlflow/mlflow)" >/tmp/pgpass
export PGPASSFILE=/tmp/pgpass HOME=/tmp MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cd /tmp
exec mlflow server --host 0.0.0.0 --port 5000 --workers 1 \
    --backend-store-uri "postgresql+psycopg://$user@$host:$port/$name" \
    --artifacts-destination "${MLFLOW_ARTIFACTS:-/mlartifacts}" --serve-artifacts
