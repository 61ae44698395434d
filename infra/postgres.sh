#!/usr/bin/env bash
# Runs a Postgres for tests in the foreground: infra/postgres.sh FOLDER PORT [OPTION…]
#
# FOLDER holds nothing but empty folders, or what an earlier run has left; the options are those of initdb. Postgres
# does not run as root: then FOLDER, with the folders in it, is given to the user `postgres`, who must be able to reach
# it. It listens on loopback alone and trusts whoever connects.

set -euo pipefail
folder=$1
port=$2

shopt -s nullglob
versions=(/usr/lib/postgresql/*/bin)
((${#versions[@]})) || {
    echo "Postgres is not installed." >&2
    exit 1
}
bin=$(printf '%s\n' "${versions[@]}" | sort -V | tail -n 1)
# However whoever has started it ends, it ends at once.
as=(setpriv --pdeathsig=QUIT)
if ((EUID == 0)); then
    chown postgres "$folder" "$folder"/*/
    as+=(--reuid=postgres --regid=postgres --init-groups)
fi
cd "$folder"
if [[ ! -e $folder/data/PG_VERSION ]]; then
    "${as[@]}" "$bin/initdb" --pgdata="$folder/data" --username=meshwire --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --no-sync "${@:3}" >"$folder/initdb.log" 2>&1 || {
        cat "$folder/initdb.log" >&2
        exit 1
    }
fi
exec "${as[@]}" "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=400 -c shared_buffers=64MB -c max_wal_size=256MB
