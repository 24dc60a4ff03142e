#!/bin/sh
# The container of the Job martlet-database-roles: roles.sql once for each service, as superuser; repeating it changes nothing.
# Passwords go from files into psql's variables: a command line can be read by everyone on the node.
set -eu
for service in identity tenant crm activity support; do
  {
    printf '\\set service %s\n' "$service"
    for name in password system_password owner_password; do
      printf '%s\n' "\\set $name \`cat /run/martlet/$service/$name\`"
    done
    cat /etc/martlet/sql/roles.sql
  } | PGPASSWORD=$(cat /run/martlet/superuser-password) psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f -
  echo "roles of $service: made"
done
