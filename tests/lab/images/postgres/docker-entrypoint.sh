#!/usr/bin/env bash
# Starts PostgreSQL as the public postgres image does: an empty data directory
# is initialised from POSTGRES_* variables and /docker-entrypoint-initdb.d,
# behind a server that listens on a local socket only; then the server is
# started in this process's place.
#
#   POSTGRES_PASSWORD           password of the superuser; required unless
#                               POSTGRES_HOST_AUTH_METHOD=trust
#   POSTGRES_USER               the superuser (postgres)
#   POSTGRES_DB                 the first database (POSTGRES_USER)
#   POSTGRES_INITDB_ARGS        more arguments for initdb
#   POSTGRES_INITDB_WALDIR      another place for the write-ahead log
#   POSTGRES_HOST_AUTH_METHOD   method for connections by network (scram-sha-256)
#   PGDATA                      the data directory
#
# The first four and the method may also be given as NAME_FILE, a file to read.
set -Eeo pipefail

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

from_file() { # NAME [DEFAULT]: NAME, or the contents of the file NAME_FILE names
  local name=$1 file=$1_FILE value=${2-}
  if [[ ${!name:-} && ${!file:-} ]]; then fail "both $name and $file are set (but are exclusive)"; fi
  if [[ ${!name:-} ]]; then
    value=${!name}
  elif [[ ${!file:-} ]]; then
    value=$(<"${!file}")
  fi
  export "$name=$value"
  unset "$file"
}

environment() {
  from_file POSTGRES_PASSWORD
  from_file POSTGRES_USER postgres
  from_file POSTGRES_DB "$POSTGRES_USER"
  from_file POSTGRES_INITDB_ARGS
  : "${POSTGRES_HOST_AUTH_METHOD:=}"
  INITIALISED=
  if [[ -s $PGDATA/PG_VERSION ]]; then INITIALISED=yes; fi
}

directories() {
  local user
  user=$(id -u)
  mkdir -p "$PGDATA"
  # Fails on what belongs to someone else, which may be right as it is.
  chmod 00700 "$PGDATA" || :
  mkdir -p /var/run/postgresql || :
  chmod 03775 /var/run/postgresql || :
  if [[ ${POSTGRES_INITDB_WALDIR:-} ]]; then
    mkdir -p "$POSTGRES_INITDB_WALDIR"
    if ((user == 0)); then find "$POSTGRES_INITDB_WALDIR" \! -user postgres -exec chown postgres '{}' +; fi
    chmod 700 "$POSTGRES_INITDB_WALDIR"
  fi
  if ((user == 0)); then
    find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
    find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
  fi
}

initialise_directory() {
  local uid gid wrapper passwd group
  uid=$(id -u) gid=$(id -g)
  # initdb insists on a name for its user; one that the image does not know
  # gets it for this one command.
  if ! getent passwd "$uid" >/dev/null; then
    for wrapper in /usr/lib/*/libnss_wrapper.so /usr/lib/libnss_wrapper.so; do [[ -s $wrapper ]] && break; done
    passwd=$(mktemp) group=$(mktemp)
    printf 'postgres:x:%s:%s:PostgreSQL:%s:/bin/false\n' "$uid" "$gid" "$PGDATA" >"$passwd"
    printf 'postgres:x:%s:\n' "$gid" >"$group"
    export LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$passwd NSS_WRAPPER_GROUP=$group
  fi
  local arguments=(--username="$POSTGRES_USER")
  if [[ ${POSTGRES_INITDB_WALDIR:-} ]]; then arguments+=(--waldir "$POSTGRES_INITDB_WALDIR"); fi
  # The variable's words may be quoted, as in a shell. The password reaches
  # initdb as a file that is nowhere on disk.
  eval 'initdb "${arguments[@]}" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
  if [[ ${passwd:-} ]]; then
    rm -f "$passwd" "$group"
    unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
  fi
}

minimum() {
  [[ $POSTGRES_PASSWORD || $POSTGRES_HOST_AUTH_METHOD == trust ]] ||
    fail "Database is uninitialized and superuser password is not specified." \
      "Set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) to a value that is not empty," \
      "or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in (not recommended)."
  if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
    echo "warning: POSTGRES_HOST_AUTH_METHOD=trust: anyone who can reach the port is superuser" >&2
  fi
}

host_authentication() {
  local method=$POSTGRES_HOST_AUTH_METHOD
  if [[ $1 == postgres ]]; then shift; fi
  [[ $method ]] || method=$(postgres -C password_encryption "$@")
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

sql() {
  local query=(psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER")
  if [[ $POSTGRES_DB ]]; then query+=(--dbname "$POSTGRES_DB"); fi
  PGHOST='' PGHOSTADDR='' "${query[@]}" "$@"
}

temporary_start() {
  if [[ $1 == postgres ]]; then shift; fi
  # On the local socket only: nobody outside can take a database that is half
  # set up for one that is ready.
  set -- "$@" -c listen_addresses='' -p "${PGPORT:-5432}"
  NOTIFY_SOCKET='' PGUSER="${PGUSER:-$POSTGRES_USER}" \
    pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
}

temporary_stop() { PGUSER="${PGUSER:-postgres}" pg_ctl -D "$PGDATA" -m fast -w stop; }

# shellcheck disable=SC2097,SC2098 # the arguments are expanded before the assignment
first_database() {
  local exists
  exists=$(POSTGRES_DB='' sql --dbname postgres --set db="$POSTGRES_DB" --tuples-only <<<"SELECT 1 FROM pg_database WHERE datname = :'db' ;")
  if [[ ! $exists ]]; then
    POSTGRES_DB='' sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db" ;'
    printf '\n'
  fi
}

scripts() {
  local file
  printf '\n'
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh)
        if [[ -x $file ]]; then
          printf '%s: running %s\n' "$0" "$file"
          "$file"
        else
          printf '%s: sourcing %s\n' "$0" "$file"
          # shellcheck disable=SC1090
          . "$file"
        fi
        ;;
      *.sql) printf '%s: running %s\n' "$0" "$file"; sql -f "$file"; printf '\n' ;;
      *.sql.gz) printf '%s: running %s\n' "$0" "$file"; gunzip -c "$file" | sql; printf '\n' ;;
      *.sql.xz) printf '%s: running %s\n' "$0" "$file"; xzcat "$file" | sql; printf '\n' ;;
      *.sql.zst) printf '%s: running %s\n' "$0" "$file"; zstd -dc "$file" | sql; printf '\n' ;;
      *) if [[ -e $file ]]; then printf '%s: ignoring %s\n' "$0" "$file"; fi ;;
    esac
  done
}

asks_for_help() {
  local argument
  for argument; do
    case $argument in
      -'?' | --help | --describe-config | -V | --version) return 0 ;;
    esac
  done
  return 1
}

main() {
  # `postgres -c …` may be written without its first word.
  if [[ ${1:0:1} == - ]]; then set -- postgres "$@"; fi

  if [[ ${1:-} == postgres ]] && ! asks_for_help "$@"; then
    environment
    directories
    if [[ $(id -u) == 0 ]]; then
      HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups "${BASH_SOURCE[0]}" "$@"
    fi
    if [[ $INITIALISED ]]; then
      printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
      minimum
      # Fail before anything is written when scripts cannot be read.
      ls /docker-entrypoint-initdb.d/ >/dev/null
      initialise_directory
      host_authentication "$@"
      export PGPASSWORD="${PGPASSWORD-$POSTGRES_PASSWORD}"
      temporary_start "$@"
      first_database
      scripts
      temporary_stop
      unset PGPASSWORD
      printf '\nPostgreSQL init process complete; ready for start up.\n\n'
    fi
  fi
  exec "$@"
}

# Sourced by someone who wants the functions only?
if [[ ${#FUNCNAME[@]} -eq 0 || ${FUNCNAME[0]} != source ]]; then main "$@"; fi
