#!/bin/sh
# Becomes MLflow's server. The database's password goes by a file of libpq's (PGPASSFILE): neither the environment nor the
# command line has it.
set -eu
umask 077
printf '*:*:*:*:%s\n' "$(sed 's/[\\:]/\\&/g' /run/mlflow/mlflow)" >/tmp/pgpass
export PGPASSFILE=/tmp/pgpass HOME=/tmp MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cd /tmp
exec mlflow server --host 0.0.0.0 --port 5000 --workers 1 \
    --backend-store-uri "postgresql+psycopg://$MLFLOW_DB_USER@$MLFLOW_DB_HOST:$MLFLOW_DB_PORT/$MLFLOW_DB_NAME" \
    --artifacts-destination "$MLFLOW_ARTIFACTS" --serve-artifacts
