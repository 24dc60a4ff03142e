#!/bin/sh
# What the one-shot container of the database roles runs, with compose and on Kubernetes: roles.sql once for each service, as superuser;
# repeating it changes nothing. Passwords go from files into psql's variables: a command line can be read by everyone on the machine.
set -eu
# Not everything that starts this knows an order. Without an answer it ends, and is started again.
tries=60
until pg_isready -q; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "roles: Postgres does not answer at $PGHOST" >&2; exit 1; }
  sleep 1
done
for service in identity tenant crm activity support; do
  {
    printf '\\set service %s\n' "$service"
    for name in password system_password owner_password; do
      printf '%s\n' "\\set $name \`cat /run/martlet/$service/$name\`"
    done
    cat "$(dirname "$0")/roles.sql"
  } | PGPASSWORD=$(cat /run/martlet/superuser-password) psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f -
  echo "roles of $service: made"
done
