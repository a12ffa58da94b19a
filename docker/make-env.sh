#!/bin/bash
# Writes docker/.env (or the file named) with fresh random secrets, readable by its owner only; never overwrites one.
set -euo pipefail
file=${1:-"$(dirname "$0")/.env"}
[ ! -e "$file" ] || { echo "$file is there already: it holds the keys of your data; remove it yourself to start anew" >&2; exit 1; }
umask 077
hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
cat > "$file" <<END
# cpu: enhance on CPUs. gpu: on one NVIDIA GPU per worker-gpu container (NVIDIA Container Toolkit).
COMPOSE_PROFILES=cpu
# Enhance tasks at a time in all: one per worker container on queue gpu (--scale worker-gpu=2: 2).
ENHANCE_SLOTS=1
# Evaluate and publish tasks at a time in all: the concurrency of worker-cpu, times its containers.
EVALUATE_SLOTS=2
AIRFLOW_PORT=8080
AIRFLOW_ADMIN_PASSWORD=$(hex 12)
AIRFLOW_DB_PASSWORD=$(hex 20)
LEDGER_PASSWORD=$(hex 20)
BROKER_PASSWORD=$(hex 20)
S3_ACCESS_KEY=$(hex 10)
S3_SECRET_KEY=$(hex 20)
FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
JWT_SECRET=$(hex 32)
API_SECRET=$(hex 32)
END
