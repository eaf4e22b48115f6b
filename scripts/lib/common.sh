# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# shellcheck disable=SC2034  # what is set here is used by those who source it
#
# Sourced by every script: where the checkout is, where the suite's state is, and whom it runs as.
#
#   ROOT     the checkout
#   STATE    what must survive: configuration, secrets, certificates, the private cluster, logs (var/)
#   RUN      sockets and files that name running processes (var/run)
#   RUN_AS   the user that owns the state and runs every process
#
# PostgreSQL refuses to run as root. So as root everything runs as a system user, `jackdaw`, or as the user
# who owns var/ already. Root itself only makes directories whose parents are root's, and hands files over
# through a pipe: it never writes where a lesser user could have put a symbolic link.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
SYSTEM_USER=jackdaw
# What a suite is made of.
EXECUTABLES=(jackdaw-router jackdaw-c2s jackdaw-sm jackdaw-s2s jackdawctl)
# The longest path of a Unix socket is 107 bytes; supervisord binds `supervisor.sock.<pid>` first.
SOCKET_NAME_BYTES=25

say() { printf '%s\n' "$@"; }

complain() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
    local code=$1
    shift
    complain "$@"
    exit "$code"
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Runs a command as the user of the suite, without root's capabilities and environment.
as_user() {
    if [ "$(id -un)" = "$RUN_AS" ]; then
        "$@"
        return
    fi
    local home
    home=$(getent passwd "$RUN_AS" | cut -d: -f6)
    setpriv --reuid="$RUN_AS" --regid="$(id -g "$RUN_AS")" --init-groups --inh-caps=-all -- \
        env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="${home:-/nonexistent}" USER="$RUN_AS" LOGNAME="$RUN_AS" \
        LANG=C.UTF-8 TERM="${TERM:-dumb}" "$@"
}

make_system_user() {
    getent passwd "$SYSTEM_USER" >/dev/null && return
    useradd --system --user-group --home-dir /var/lib/jackdaw --no-create-home \
        --shell /usr/sbin/nologin --comment "Jackdaw XMPP server" "$SYSTEM_USER"
    say "Made the system user $SYSTEM_USER."
}

socket_path_fits() {
    local LC_ALL=C
    [ $((${#1} + SOCKET_NAME_BYTES)) -le 107 ]
}

# Whether the system user can get to the checkout at all.
is_in_reach() { as_user test -x "$1" && as_user test -r "$1"; }

# The owner of the state, where there is one that is in use by somebody other than root.
owner_of_state() {
    local owner='' file=${JACKDAW_STATE:-$ROOT/var}/jackdaw.yml
    [ ! -e "$file" ] || owner=$(stat -c %U "$file")
    [ -z "$owner" ] || [ "$owner" = root ] || [ "$owner" = UNKNOWN ] || say "$owner"
}

# Sets STATE, RUN, RUN_AS, and REASON where the state is not simply in var/.
locate_state() {
    REASON=
    if is_root; then
        RUN_AS=$(owner_of_state)
        RUN_AS=${RUN_AS:-$SYSTEM_USER}
    else
        RUN_AS=$(id -un)
    fi
    if [ -n "${JACKDAW_STATE:-}" ]; then
        STATE=$JACKDAW_STATE
        RUN=${JACKDAW_RUN:-$STATE/run}
        socket_path_fits "$RUN" || die 78 "$RUN is too long for a Unix socket; set JACKDAW_RUN to a shorter path"
        return
    fi
    STATE=$ROOT/var
    RUN=$STATE/run
    if is_root; then
        locate_state_of_root
    elif ! socket_path_fits "$RUN"; then
        [ -n "${XDG_RUNTIME_DIR:-}" ] || die 78 "$RUN is too long for a Unix socket; set JACKDAW_STATE to a shorter path"
        RUN=$XDG_RUNTIME_DIR/jackdaw
        REASON="$STATE/run is too long for a Unix socket (107 bytes)"
    fi
}

locate_state_of_root() {
    [ "$RUN_AS" = "$SYSTEM_USER" ] || return 0
    # Before the user exists nobody can tell what it reaches: scripts/run makes it first.
    getent passwd "$SYSTEM_USER" >/dev/null || return 0
    if ! is_in_reach "$ROOT"; then
        REASON="$ROOT/var is out of reach for the user $SYSTEM_USER"
    elif ! socket_path_fits "$RUN"; then
        REASON="$ROOT/var/run is too long for a Unix socket (107 bytes)"
    else
        return 0
    fi
    STATE=/var/lib/jackdaw
    RUN=/run/jackdaw
}

# Makes STATE and RUN for the user of the suite, readable by nobody else.
make_state_directories() {
    local directory
    for directory in "$STATE" "$RUN"; do
        if [ ! -d "$directory" ] && is_root; then
            if [ "$directory" = "$STATE/run" ]; then
                as_user mkdir -m 700 "$directory"
            else
                install -d -m 700 -o "$RUN_AS" -g "$(id -g "$RUN_AS")" "$directory"
            fi
        elif [ ! -d "$directory" ]; then
            (umask 077 && mkdir -p "$directory")
        elif is_root && [ "$(stat -c %U "$directory")" = root ]; then
            [ ! -L "$directory" ] || die 78 "$directory is a symbolic link of root's; make it a directory"
            chown -h "$RUN_AS:" "$directory"
        fi
        as_user test -w "$directory" || die 78 "the user $RUN_AS cannot write to $directory"
        as_user chmod 700 "$directory"
    done
}

# Copies files from the checkout into the state: the clone may be unreadable for the suite's user, and a build
# must not change what runs (tar makes new files, so running executables keep their old ones).
hand_over() {
    local from=$1 to=$STATE/$2
    shift 2
    as_user mkdir -p "$to"
    tar -C "$from" -chf - --exclude=__pycache__ "$@" | as_user tar -C "$to" -xmf - --no-same-owner
}

hand_over_library() { hand_over "$ROOT/scripts" . lib; }

require_state() {
    [ -e "$STATE/jackdaw.yml" ] || as_user test -e "$STATE/jackdaw.yml" ||
        die 78 "there is no suite in $STATE yet; scripts/run makes one"
}

# What every script but scripts/run does first.
open_state() {
    locate_state
    getent passwd "$RUN_AS" >/dev/null || die 78 "there is no suite yet; scripts/run makes one"
    require_state
    is_root || [ -w "$STATE" ] || die 77 "$STATE belongs to $(stat -c %U "$STATE"); run this as that user or as root"
}
