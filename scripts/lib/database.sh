# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The private PostgreSQL cluster: STATE/postgresql, a socket in RUN (mode 0700) and no TCP port.
#
# Logins are by the user that the kernel names (`peer`), who may take three roles: the superuser, jackdaw_sm,
# which owns the schema, and jackdaw_c2s, to which the SM's migrations grant what C2S reads. There is no
# password to keep; whoever can be that user could read it anyway.

# The directory of the server's programs: those of the cluster's version, else the newest.
postgresql_programs() {
    local cluster=$1/postgresql version
    if [ -e "$cluster/PG_VERSION" ]; then
        version=$(cat "$cluster/PG_VERSION")
        if [ ! -x "/usr/lib/postgresql/$version/bin/postgres" ]; then
            printf '%s\n' "the cluster in $cluster is of PostgreSQL $version, which is not installed here:" \
                "install postgresql-$version, or there make a scripts/backup and here a scripts/restore" >&2
            return 69
        fi
    else
        version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort -V | tail -n 1)
        [ -n "$version" ] || {
            printf '%s\n' "PostgreSQL is not installed; see scripts/install-packages" >&2
            return 69
        }
    fi
    printf '%s\n' "/usr/lib/postgresql/$version/bin"
}

make_cluster() {
    local state=$1 run=$2 cluster=$1/postgresql programs
    programs=$(postgresql_programs "$state")
    if [ ! -e "$cluster/PG_VERSION" ]; then
        rm -rf "$cluster.new"
        "$programs/initdb" --pgdata="$cluster.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
            --data-checksums --auth=reject --no-instructions >"$state/log/initdb.log" 2>&1 || {
            cat "$state/log/initdb.log" >&2
            return 70
        }
        mv "$cluster.new" "$cluster"
    fi
    printf '%s\n' '# made by scripts/run' 'local all postgres peer map=jackdaw' \
        'local jackdaw jackdaw_sm,jackdaw_c2s peer map=jackdaw' >"$cluster/pg_hba.conf"
    printf 'jackdaw "%s" %s\n' "$(id -un)" postgres "$(id -un)" jackdaw_sm "$(id -un)" jackdaw_c2s \
        >"$cluster/pg_ident.conf"
    [ -e "$cluster/jackdaw-roles" ] || with_cluster "$state" "$run" make_roles "$run"
    touch "$cluster/jackdaw-roles"
}

cluster_is_running() { [ -S "$1/.s.PGSQL.5432" ] && psql_as_superuser "$1" -c 'select 1' >/dev/null 2>&1; }

psql_as_superuser() {
    local run=$1
    shift
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="$run" --username=postgres --dbname=postgres "$@"
}

# Runs a command with the cluster up, and stops it again if it was down.
with_cluster() {
    local state=$1 run=$2
    shift 2
    if cluster_is_running "$run"; then
        "$@"
    else
        with_cluster_of_ours "$state" "$run" "$@"
    fi
}

# A subshell: its exit, also by a signal, stops the cluster, which nobody else would find.
with_cluster_of_ours() (
    state=$1 run=$2
    shift 2
    programs=$(postgresql_programs "$state")
    trap 'stop_cluster "$programs" "$state"' EXIT
    "$programs/pg_ctl" --pgdata="$state/postgresql" --wait --silent --log="$state/log/postgresql.log" \
        --options="-c listen_addresses='' -c unix_socket_directories=$(printf '%q' "\"$run\"")" start
    "$@"
)

# Keeps the exit code, and is not interrupted again.
stop_cluster() {
    local code=$?
    trap '' INT TERM HUP
    [ ! -e "$2/postgresql/postmaster.pid" ] || "$1/pg_ctl" --pgdata="$2/postgresql" --wait --silent --mode=fast stop
    exit "$code"
}

make_roles() {
    psql_as_superuser "$1" <<'SQL'
select 'create role jackdaw_sm login' where not exists (select from pg_roles where rolname = 'jackdaw_sm') \gexec
select 'create role jackdaw_c2s login' where not exists (select from pg_roles where rolname = 'jackdaw_c2s') \gexec
select 'create database jackdaw owner jackdaw_sm' where not exists (select from pg_database where datname = 'jackdaw') \gexec
revoke all on database jackdaw from public;
grant connect on database jackdaw to jackdaw_c2s;
SQL
}
