#!/bin/sh
# What compose.yaml needs and nobody else may have: certificates, the pepper, the root key, the password of the database.
# Run again it makes new certificates, which everything takes without a restart, and keeps the rest.
set -eu
cd "$(dirname "$0")"
umask 077
PATH="$PWD/../.venv/bin:$PATH"

mkdir -p secrets/tls secrets/position secrets/reconciler
trueup certs dev --folder secrets/ca --host position --host reconciler --host envoy
chmod 644 secrets/ca/ca.pem  # Prometheus is somebody else
for file in server.key server.pem ca.pem; do  # the CA's key stays out of every container
  cp -p "secrets/ca/$file" "secrets/tls/.$file"
  mv "secrets/tls/.$file" "secrets/tls/$file"  # whole or not at all; Envoy looks when a file is moved
done
for secret in key-pepper root.key; do
  test -s "secrets/position/$secret" || head -c 32 /dev/urandom | base64 > "secrets/position/$secret"
done
owner="$(id -u):$(id -g)"
if [ "$(id -u)" = 0 ]; then  # services are not root
  owner=10001:10001
  chown -R "$owner" secrets/tls secrets/position secrets/reconciler
fi
test -s .env || echo "POSTGRES_PASSWORD=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')" > .env
grep -q ^TRUEUP_USER= .env || echo "TRUEUP_USER=$owner" >> .env
