# shellcheck shell=bash disable=SC2034  # names set here are used by the scripts that source this file
# What compose/local, Tests/run and Tests/bench share: messages, Debian packages, free ports, processes, Postgres and Redis.
# Sourced, never run; everything it starts is a child of the sourcing script and is stopped by its process id.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command_name=${0##*/}
# `psql`, `pg_ctl` and the like must speak of our own server, whatever the caller's shell points to.
unset PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE PGOPTIONS

# --- messages ---------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$command_name: $*"; }
fail() { printf '%s\n' "$command_name: $*" >&2; exit 1; }
usage_error() { printf '%s\n' "$command_name: $* (see --help)" >&2; exit 2; }

# The comment at the top of a script is its help text.
print_help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

# need_number OPTION VALUE LOWEST HIGHEST
need_number() {
  [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || usage_error "$1 needs a number from $3 to $4, not '$2'"
  (($2 >= $3 && $2 <= $4)) || usage_error "$1 needs a number from $3 to $4, not '$2'"
}

# --- the machine ------------------------------------------------------------------------------------------------------

# as_root COMMAND…: runs it as root, through sudo where needed.
as_root() {
  if ((EUID == 0)); then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "needs root for '$*', and there is no sudo; run that as root, then start again"
  fi
}

require_toolchain() {
  command -v swift >/dev/null ||
    fail "no Swift toolchain on the PATH; Martlet needs Swift 6.2 or newer: https://www.swift.org/install/linux/"
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
  [[ -n $version ]] || fail "'swift --version' does not work; is the toolchain whole? https://www.swift.org/install/linux/"
  [[ $(printf '%s\n6.2\n' "$version" | sort -V | head -n 1) == 6.2 ]] ||
    fail "Swift $version is too old; Martlet needs 6.2 or newer: https://www.swift.org/install/linux/"
}

# The newest installed Postgres, as the folder of its programs.
postgres_programs() { find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }

has_package() {
  case $1 in
    postgresql) [[ -x $(postgres_programs)/initdb ]] ;;
    redis-server | pkg-config | curl | openssl | python3 | nginx | wrk | shellcheck | haproxy) PATH=$PATH:/usr/sbin command -v "$1" >/dev/null ;;
    libpq-dev) pkg-config --exists libpq 2>/dev/null ;;
    libhiredis-dev) pkg-config --exists hiredis 2>/dev/null ;;
    libssl-dev) pkg-config --exists libcrypto 2>/dev/null ;;
    zlib1g-dev) pkg-config --exists zlib 2>/dev/null ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' ;;
  esac
}

# The packages that building and running Martlet takes.
run_packages=(postgresql redis-server libpq-dev libhiredis-dev libssl-dev zlib1g-dev pkg-config curl python3)

# install_missing PACKAGE…: installs what is not there, and says so.
install_missing() {
  local package missing=()
  for package in "$@"; do has_package "$package" || missing+=("$package"); done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "needs ${missing[*]}, and this is no Debian or Ubuntu; install them, then start again"
  say "installing Debian packages: ${missing[*]}"
  # Debian starts a server when its package is installed. We run our own, so for this one installation nothing is started.
  local policy=/usr/sbin/policy-rc.d made_policy='' code=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
    made_policy=1
  fi
  local log
  log=$(mktemp)
  as_root apt-get update -q </dev/null >"$log" 2>&1 || { show_log "$log"; say "apt-get update failed; trying with the lists that are there"; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" </dev/null 2>&1 |
    tee "$log" | sed -u -n "s|^Setting up \([^ ]*\) .*|$command_name:   \1|p" || code=$?
  [[ -z $made_policy ]] || as_root rm -f "$policy"
  ((code == 0)) || { show_log "$log"; fail "apt-get could not install ${missing[*]}; its message is above"; }
  rm -f "$log"
}

# require_space FOLDER MEGABYTES WHAT
require_space() {
  local free
  free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
  ((free >= $2)) || fail "the disk of $1 has $free MB left; $3 needs $2 MB"
}

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# require_free_port PORT WHAT
require_free_port() {
  port_is_taken "$1" || return 0
  local holder
  holder=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\(.*\)))/ by \1/p' | head -n 1)
  fail "port $1 ($2) is taken$holder; stop that, or choose others with --port"
}

# free_ports COUNT: that many ports nobody listens on, below the range that outgoing connections are given.
free_ports() {
  local port found=()
  while ((${#found[@]} < $1)); do
    port=$((12000 + (RANDOM * 32768 + RANDOM) % 18000))
    [[ " ${found[*]} " == *" $port "* ]] || port_is_taken "$port" || found+=("$port")
  done
  printf '%s\n' "${found[@]}"
}

random_hex() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# --- processes --------------------------------------------------------------------------------------------------------

declare -A pids=()
# NAME=value pairs for the next process started; secrets go this way, because a command line can be read by everyone.
environment=()
# Where start_process notes what it started, so that a later run can stop what a killed one left; empty: nowhere.
notes=

# start_process NAME LOG COMMAND…: in a session of its own, so that Ctrl-C reaches this script only, which then stops in order.
start_process() {
  local name=$1 log=$2
  shift 2
  (
    ((${#environment[@]} == 0)) || export "${environment[@]}"
    exec setsid -- "$@"
  ) </dev/null >>"$log" 2>&1 9>&- &
  pids[$name]=$!
  disown "$!" # or the shell would announce each end in its own words
  [[ -z $notes ]] || echo "${pids[$name]} $(start_time "${pids[$name]}")" >"$notes/$name.pid"
}

# When a process started, in ticks since boot; with the id it names one process for good, as ids are used again.
start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# A process that ended and was not fetched by its parent yet does not count.
is_alive() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != Z* ]]
}

is_running() { [[ -n ${pids[$1]-} ]] && is_alive "${pids[$1]}"; }

# stop_processes SIGNAL SECONDS NAME…: asks all, waits, and ends by force what does not go.
stop_processes() {
  local signal=$1 seconds=$2 name
  shift 2
  for name in "$@"; do
    if is_running "$name"; then kill -s "$signal" "${pids[$name]}" 2>/dev/null || true; fi
  done
  for name in "$@"; do
    [[ -n ${pids[$name]-} ]] || continue
    if ! wait_for_end "${pids[$name]}" "$seconds"; then
      say "$name did not stop within $seconds seconds; ending it by force"
      kill -KILL "${pids[$name]}" 2>/dev/null || true
    fi
    unset "pids[$name]"
    [[ -z $notes ]] || rm -f "$notes/$name.pid"
  done
}

# Stops what a run that was killed left behind, by its notes. The database goes last.
stop_leftovers() {
  local name pid started
  for name in gateway identity tenant crm activity support redis postgres; do
    [[ -f $notes/$name.pid ]] || continue
    read -r pid started <"$notes/$name.pid" || true
    if [[ -n ${started-} && $(start_time "$pid") == "$started" ]]; then
      say "stopping $name (process $pid), left by a start that was killed"
      kill -s "$([[ $name == postgres ]] && echo INT || echo TERM)" "$pid" 2>/dev/null || true
      wait_for_end "$pid" 20 || kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$notes/$name.pid"
  done
}

# wait_for_end PID SECONDS
wait_for_end() {
  local tries=$(($2 * 20))
  while is_alive "$1"; do
    ((tries-- > 0)) || return 1
    sleep 0.05
  done
}

# wait_until SECONDS NAME LOG COMMAND…: repeats the command until it succeeds; fails early when process NAME ends.
wait_until() {
  local tries=$(($1 * 20)) seconds=$1 name=$2 log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    is_running "$name" || { show_log "$log"; fail "$name ended while starting; the end of its log is above, all of it in $log"; }
    ((tries-- > 0)) || { show_log "$log"; fail "$name was not ready after $seconds seconds; the end of its log is above"; }
    sleep 0.05
  done
}

show_log() { tail -n 12 "$1" 2>/dev/null | sed 's/^/  | /' >&2 || true; }

# --- Postgres and Redis -----------------------------------------------------------------------------------------------

# Postgres refuses to run as root. Root therefore lends it to the user `postgres`; anyone else runs it as himself.
database_command=()
((EUID != 0)) || database_command=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env)

as_database_user() { (cd / && "${database_command[@]}" "$@"); }

# own_database_folder FOLDER: makes it, closed to everyone but the user who runs Postgres. False when he cannot reach it.
own_database_folder() {
  mkdir -p "$1"
  ((EUID != 0)) || chown postgres: "$1"
  chmod 700 "$1"
  as_database_user test -x "$1" 2>/dev/null
}

# start_postgres FOLDER PORT LOG ACCESS [SETTING…]: makes the cluster on first use, starts it on loopback, waits until it answers.
# ACCESS is `trust`, or the superuser's password.
start_postgres() {
  local folder=$1/cluster port=$2 log=$3 access=$4 programs
  programs=$(postgres_programs)
  if ! as_database_user test -e "$folder"; then
    make_cluster "$programs" "$1" "$log" "$access"
  elif [[ $(as_database_user cat "$folder/PG_VERSION") != "$("$programs/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" ]]; then
    fail "the data in $folder are of another version of Postgres than the one installed; --reset begins anew"
  fi
  launch_postgres "$1" "$port" "$log" "${@:5}"
  wait_until 60 postgres "$log" "$programs/pg_isready" -q -h 127.0.0.1 -p "$port"
}

# launch_postgres FOLDER PORT LOG [SETTING…]: starts the server of a cluster that is there, without waiting. Its log is terse, as the
# details of a violated constraint are people's data.
launch_postgres() {
  local folder=$1/cluster port=$2 log=$3 settings=() setting
  for setting in "${@:4}"; do settings+=(-c "$setting"); done
  environment=()
  start_process postgres "$log" "${database_command[@]}" env -C / "$(postgres_programs)/postgres" -D "$folder" -p "$port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=UTC -c log_error_verbosity=terse "${settings[@]}"
}

# make_cluster PROGRAMS FOLDER LOG ACCESS: under another name first, so that an interrupted start leaves no half cluster.
make_cluster() {
  local programs=$1 folder=$2 log=$3 access=$4 authentication=(--auth=trust)
  as_database_user rm -rf "$folder/new" "$folder/password"
  if [[ $access != trust ]]; then
    authentication=(--auth=scram-sha-256 --pwfile="$folder/password")
    printf '%s\n' "$access" | (umask 077 && as_database_user tee "$folder/password" >/dev/null)
  fi
  as_database_user "$programs/initdb" -D "$folder/new" -U postgres -E UTF8 --locale=C.UTF-8 "${authentication[@]}" >>"$log" 2>&1 ||
    { show_log "$log"; fail "could not make a Postgres cluster in $folder; the reason is above"; }
  as_database_user rm -f "$folder/password"
  as_database_user mv "$folder/new" "$folder/cluster"
}

# start_redis FOLDER PORT LOG [PASSWORD]: memory only, on loopback. Full, it forgets the limits that were not used lately; all it holds
# expires anyway, and gateways tell it again what they admitted.
start_redis() {
  local folder=$1 port=$2 log=$3 password=${4-}
  {
    printf '%s\n' "port $port" "bind 127.0.0.1" "dir \"$folder\"" 'save ""' "appendonly no" "maxmemory 256mb" \
      "maxmemory-policy volatile-lru" "daemonize no"
    [[ -z $password ]] || printf 'requirepass %s\n' "$password"
  } >"$folder/redis.conf"
  chmod 600 "$folder/redis.conf"
  launch_redis "$folder" "$log"
  wait_until 20 redis "$log" redis_answers "$port" "$password"
}

# launch_redis FOLDER LOG: starts it as configured before, without waiting.
launch_redis() {
  environment=()
  start_process redis "$2" redis-server "$1/redis.conf"
}

redis_answers() { [[ $(REDISCLI_AUTH=$2 redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null) == PONG ]]; }
