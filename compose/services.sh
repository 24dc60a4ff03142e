# shellcheck shell=bash disable=SC2034,SC2154  # names are set and used across the files that are sourced together
# The six processes of Martlet on one machine: their ports, secrets, database roles, settings. Sourced after lib.sh by
# compose/local and Tests/bench. The sourcing script sets `data`, the folder for logs, secrets and notes.

services=(identity tenant crm activity support)
processes=("${services[@]}" gateway)
programs="$project/.build/release"
declare -A port=() secret=()

# set_ports GATEWAY: every other port is at a fixed distance from it. Health and metrics are each process's port plus 100.
set_ports() {
  port=([gateway]=$1 [identity]=$(($1 + 21)) [tenant]=$(($1 + 22)) [crm]=$(($1 + 23)) [activity]=$(($1 + 24))
    [support]=$(($1 + 25)) [postgres]=$(($1 + 2000)) [redis]=$(($1 + 2001)))
}

require_free_ports() {
  local name
  for name in "${!port[@]}"; do require_free_port "${port[$name]}" "$name"; done
  for name in "${processes[@]}"; do require_free_port $((port[$name] + 100)) "health of $name"; done
}

# Reads the secrets of this installation; makes them, at random, on its first start.
load_secrets() {
  local file=$data/secrets name value
  if [[ ! -s $file ]]; then
    (
      umask 077
      for name in superuser redis context_key encryption_key {identity,tenant,crm,activity,support}{,_system,_owner}; do
        echo "$name $(random_hex 32)"
      done >"$file.new"
    )
    mv "$file.new" "$file"
  fi
  while read -r name value; do secret[$name]=$value; done <"$file"
}

as_superuser() {
  PGPASSWORD=${secret[superuser]} psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "${port[postgres]}" -U postgres "$@"
}

# The database and the roles of each service; repeating it changes nothing.
make_database() {
  [[ $(as_superuser -At -c "select 1 from pg_database where datname = 'martlet'") == 1 ]] || as_superuser -c 'create database martlet'
  local service
  for service in "${services[@]}"; do
    # Through standard input: a command line can be read by everyone.
    {
      printf '\\set %s %s\n' service "$service" password "${secret[$service]}" system_password "${secret[${service}_system]}" \
        owner_password "${secret[${service}_owner]}"
      cat "$project/compose/postgres/roles.sql"
    } | as_superuser -d martlet -o /dev/null -f - 2> >(grep -v NOTICE >&2)
  done
}

# settings_of PROCESS: its settings, into `environment`. Each gets its own secrets and no other's.
settings_of() {
  local name=$1 other
  environment=(MARTLET_HOST=127.0.0.1 "MARTLET_PORT=${port[$name]}" "MARTLET_ADMIN_PORT=$((port[$name] + 100))"
    "MARTLET_REDIS_URL=redis://:${secret[redis]}@127.0.0.1:${port[redis]}")
  for other in "${services[@]}"; do environment+=("MARTLET_${other^^}_URL=http://127.0.0.1:${port[$other]}"); done
  if [[ $name == gateway ]]; then
    environment+=("MARTLET_ADDRESS_LIMIT=${address_limit:-100}" ${access_log:+"MARTLET_ACCESS_LOG=$access_log"}
      ${tls_folder:+"MARTLET_TLS_CERTIFICATE=$tls_folder/cert.pem" "MARTLET_TLS_KEY=$tls_folder/key.pem"})
  else
    environment+=(MARTLET_POSTGRES_HOST=127.0.0.1 "MARTLET_POSTGRES_PORT=${port[postgres]}" MARTLET_POSTGRES_DATABASE=martlet
      "MARTLET_POSTGRES_PASSWORD=${secret[$name]}" "MARTLET_POSTGRES_SYSTEM_PASSWORD=${secret[${name}_system]}")
  fi
  [[ $name != identity ]] || environment+=("MARTLET_KEY_ENCRYPTION_KEY=${secret[encryption_key]}" MARTLET_DEMO=true)
}

# keys_of PROCESS: the keys by which it and the others know each other, into `environment`, for all that serves or asks.
keys_of() {
  local keys
  keys=$("$project/compose/context-keys" "$1" <<<"k1:${secret[context_key]}")
  environment+=("MARTLET_CONTEXT_KEYS=$keys")
}

# run_once SERVICE LOG ARGUMENT…: a command of a service that ends by itself, with the service's settings; input is passed on.
run_once() {
  local name=$1 log=$2
  shift 2
  settings_of "$name"
  if [[ $1 == migrate ]]; then environment+=("MARTLET_POSTGRES_OWNER_PASSWORD=${secret[${name}_owner]}"); else keys_of "$name"; fi
  (export "${environment[@]}" && exec "$programs/martlet-$name" "$@") >>"$log" 2>&1
}

migrate() {
  local service
  for service in "${services[@]}"; do
    run_once "$service" "$data/logs/migrate.log" migrate </dev/null ||
      { show_log "$data/logs/migrate.log"; fail "the migrations of $service failed; the reason is above"; }
  done
}

# launch_service PROCESS: starts it without waiting.
launch_service() {
  settings_of "$1"
  keys_of "$1"
  start_process "$1" "$data/logs/$1.log" "$programs/martlet-$1" serve
}

is_ready() { curl -fsS -m 2 "http://127.0.0.1:$((port[$1] + 100))/readyz"; }

# Starts all six at once, and waits until each says that it is ready.
start_services() {
  local name
  for name in "${processes[@]}"; do launch_service "$name"; done
  for name in "${processes[@]}"; do wait_until 60 "$name" "$data/logs/$name.log" is_ready "$name"; done
}

# The gateway first: it drains while the services still answer.
stop_services() {
  stop_processes TERM 30 gateway
  stop_processes TERM 30 "${services[@]}"
}
