#!/bin/bash
# Run once by the PostgreSQL image on an empty volume: the ledger is a database of its own with a user of its own, so that
# the password that tasks carry opens nothing of Airflow's.
set -euo pipefail
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set=password="$LEDGER_PASSWORD" \
    --set=airflow="$POSTGRES_DB" <<'SQL'
CREATE ROLE enhancer LOGIN PASSWORD :'password';
CREATE DATABASE ledger OWNER enhancer;
REVOKE CONNECT ON DATABASE :"airflow" FROM PUBLIC;
SQL
