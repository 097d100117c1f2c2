#!/usr/bin/env bash
#
# Brings the whole system up on this machine: a private Redis, the manager and four workers. Ctrl-C stops all of it and
# leaves nothing behind. On a fresh Debian 12 it installs what is missing and compiles first.
#
#   deploy/up.sh [--workers N] [--exit-when-alive]
#
#   --workers N         how many workers, 1 to 64 (4)
#   --exit-when-alive   stop again, with exit code 0, as soon as all of them are alive
#   --help              this text
#
# The environment reaches every program: HEARTBEAT_TIMEOUT=5 HEARTBEAT_INTERVAL=1 deploy/up.sh
# MANAGER_PORT and WORKER_PORT (of the first worker) are where to listen: 8000 and 8001, or the next free ports when
# they are not set. REDIS_* is set here, for the private Redis.
#
# Each program runs in a session of its own, so that Ctrl-C reaches only this script and the stop keeps its order:
# workers, manager, Redis. The kernel ends each of them (PDEATHSIG) even when this script is killed with -9.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
alive_limit_s=60
stop_limit_s=10

worker_count=4
exit_when_alive=
work=             # temporary folder: logs, Redis' directory
names=()          # of the programs, in the order of their start
declare -A pid_of # running programs
declare -A port_of

say() { printf '%s\n' "$*"; }

usage_error() {
    say "up.sh: $1 (see --help)" >&2
    exit 64
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            sed -n '3,15s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --exit-when-alive) exit_when_alive=1 ;;
        --workers)
            [ $# -ge 2 ] || usage_error "--workers needs a number"
            worker_count=$2
            shift
            ;;
        --workers=*) worker_count=${1#*=} ;;
        *) usage_error "unknown word '$1'" ;;
        esac
        shift
    done
    if ! [[ $worker_count =~ ^[1-9][0-9]?$ ]] || [ "$worker_count" -gt 64 ]; then
        usage_error "--workers '$worker_count' must be a number from 1 to 64"
    fi
    local variable
    for variable in MANAGER_PORT WORKER_PORT; do
        [[ ${!variable-1} =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "$variable '${!variable}' must be a port"
    done
}

# ---- programs ----

# launch NAME COMMAND...: in the background, its output in its log.
launch() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid_of[$name]=$!
}

running() { [ -n "${pid_of[$1]-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }

# The whole group, because a compiler has children.
signal() { kill -s "$1" -- "-${pid_of[$2]}" 2>/dev/null || kill -s "$1" "${pid_of[$2]}" 2>/dev/null || true; }

# stop NAME...: asks, waits, insists.
stop() {
    local name deadline=$((SECONDS + stop_limit_s))
    for name in "$@"; do
        if running "$name"; then signal TERM "$name" && signal CONT "$name"; fi
    done
    for name in "$@"; do
        while running "$name" && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
        if running "$name"; then
            say "$name did not stop within $stop_limit_s s: killed" >&2
            signal KILL "$name"
        fi
    done
}

stop_all() {
    trap - EXIT
    trap 'for name in "${!pid_of[@]}"; do signal KILL "$name"; done' INT TERM HUP # a second one: at once
    local workers=() name
    for name in "${!pid_of[@]}"; do
        case $name in manager | redis) ;; *) workers+=("$name") ;; esac
    done
    stop "${workers[@]}"
    stop manager
    stop redis
    if [ -n "$work" ]; then rm -rf "$work"; fi
}

# fail SENTENCE: with the end of every log, for the logs go with the rest.
fail() {
    local log
    for log in "$work"/*.log; do
        [ -s "$log" ] || continue
        say "---- the end of $(basename "$log")"
        tail -n 15 "$log"
    done >&2
    say "up.sh: $1" >&2
    exit 1
}

# wait_until SENTENCE COMMAND...: until the command succeeds; every program that was started must stay.
wait_until() {
    local what=$1 deadline=$((SECONDS + alive_limit_s)) name
    shift
    until "$@"; do
        for name in "${names[@]}"; do
            running "$name" || fail "$name has ended while waiting until $what"
        done
        [ $SECONDS -lt $deadline ] || fail "waited $alive_limit_s s in vain until $what"
        sleep 0.1
    done
}

# ---- ports ----

# Read from the kernel's table, which needs no tool and sees every address. 0A is LISTEN.
port_is_free() {
    local tables=(/proc/net/tcp)
    if [ -e /proc/net/tcp6 ]; then tables+=(/proc/net/tcp6); fi
    ! grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:[0-9A-F]+ 0A " "${tables[@]}"
}

# choose_port NAME FIRST: the first free port from FIRST on.
choose_port() {
    local port=$2
    until port_is_free "$port"; do
        port=$((port + 1))
        [ "$port" -le 65535 ] || fail "no free port from $2 on for $1"
    done
    [ "$port" = "$2" ] || say "port $2 is in use: $1 listens on $port"
    port_of[$1]=$port
}

# ---- steps ----

build() {
    local generated=$root/build/release/build.ninja
    [ -e "$generated" ] || say "compiling (once; a minute or so)"
    mkdir -p "$root/build"
    # shellcheck disable=SC2016 # the inner shell expands them
    launch build flock "$root/build/.release.lock" sh -c '
        cd "$1" && { [ -e "$2" ] || cmake --preset release -DHB_TESTS=OFF; } &&
            cmake --build --preset release --target heartbeat-manager heartbeat-worker' sh "$root" "$generated"
    wait "${pid_of[build]}" || fail "the programs do not compile"
    unset "pid_of[build]"
}

redis_answers() { [ "$(redis-cli -p "${port_of[redis]}" ping 2>/dev/null)" = PONG ]; }

start_redis() {
    choose_port redis 16379 >/dev/null # a private one: no need to say that another Redis is there
    mkdir "$work/redis"
    names+=(redis)
    launch redis redis-server --bind 127.0.0.1 --port "${port_of[redis]}" --dir "$work/redis" --save "" --appendonly no
    wait_until "Redis answers" redis_answers
    unset REDIS_USERNAME REDIS_PASSWORD REDIS_PASSWORD_FILE REDIS_DB
    export REDIS_HOST=127.0.0.1 REDIS_PORT=${port_of[redis]}
}

manager_ready() { curl -fs --noproxy '*' --max-time 2 -o /dev/null "$url/readyz"; }

start_manager() {
    if [ -z "${MANAGER_PORT-}" ]; then
        choose_port manager 8000
    elif port_is_free "$MANAGER_PORT"; then
        port_of[manager]=$MANAGER_PORT
    else
        fail "MANAGER_PORT $MANAGER_PORT is in use"
    fi
    export MANAGER_PORT=${port_of[manager]}
    case ${BIND_HOST-} in
    "" | :: | 0.0.0.0) reach=127.0.0.1 ;; # listens everywhere
    *) reach=$BIND_HOST ;;
    esac
    case $reach in
    *:*) url=http://[$reach]:$MANAGER_PORT ;;
    *) url=http://$reach:$MANAGER_PORT ;;
    esac
    names+=(manager)
    launch manager "$root/build/release/manager/heartbeat-manager"
    wait_until "the manager is ready at $url/readyz" manager_ready
}

# start_workers: on one port after the other, each when the one before has its socket.
start_workers() {
    local i name next=${WORKER_PORT:-8001}
    export WORKER_POLL=${WORKER_POLL:-1} # their /health is watched too
    for ((i = 1; i <= worker_count; i++)); do
        name=worker$i
        choose_port "$name" "$next"
        next=$((port_of[$name] + 1))
        names+=("$name")
        launch "$name" env WORKER_ID="$name" WORKER_NAME="Worker $i" WORKER_PORT="${port_of[$name]}" \
            MANAGER_HOST="$reach" "$root/build/release/worker/heartbeat-worker"
    done
    wait_until "all $worker_count workers are alive at $url/workers" all_alive
}

all_alive() {
    local alive
    alive=$(curl -fs --noproxy '*' --max-time 2 "$url/workers" | grep -oE '"status": ?"alive"' | wc -l) || return 1
    [ "$alive" -ge "$worker_count" ]
}

# How to start a worker again that the user has killed.
command_of() {
    printf 'WORKER_ID=%s WORKER_NAME="Worker %s" WORKER_PORT=%s MANAGER_HOST=%s MANAGER_PORT=%s %s' \
        "$1" "${1#worker}" "${port_of[$1]}" "$reach" "$MANAGER_PORT" build/release/worker/heartbeat-worker
}

tell() {
    local i name
    say ""
    say "$worker_count workers alive after $SECONDS s. Open $url/"
    say ""
    say "  all workers      curl $url/workers"
    say "  the same, Redis  redis-cli -p $REDIS_PORT hgetall workers"
    say "  logs             $work"
    for ((i = 1; i <= worker_count; i++)); do
        name=worker$i
        say "  $(printf '%-16s' "$name") http://${reach}:${port_of[$name]}/  pid ${pid_of[$name]}"
    done
    say "  manager          pid ${pid_of[manager]}"
    say "  redis            pid ${pid_of[redis]}"
    say ""
    say "See one flip: kill it, and ask. It is disconnected at once, and not_responding ${HEARTBEAT_TIMEOUT:-15} s after its last beat."
    say "  kill -9 ${pid_of[worker1]}"
    say "  curl $url/workers/worker1"
    say ""
}

# Until Ctrl-C, or the manager's end: the others may come and go, that is what the manager is for.
watch_over() {
    local ended name candidate
    say "Ctrl-C stops everything."
    while :; do
        ended=
        wait -n -p ended "${pid_of[@]}" 2>/dev/null || true # bash's own line about a killed child is in the way
        [ -n "$ended" ] || continue
        for candidate in "${!pid_of[@]}"; do
            if [ "${pid_of[$candidate]}" = "$ended" ]; then name=$candidate; fi
        done
        unset "pid_of[$name]"
        case $name in
        manager) fail "the manager (pid $ended) has ended" ;;
        redis) say "redis (pid $ended) has ended: the manager goes on from memory" ;;
        *) say "$name (pid $ended) has ended; to start it again: $(command_of "$name")" ;;
        esac
    done
}

parse_arguments "$@"
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
"$root/deploy/packages.sh" build run
work=$(mktemp -d "${TMPDIR:-/tmp}/heartbeat-up.XXXXXX")
build
start_redis
start_manager
start_workers
tell
[ -z "$exit_when_alive" ] || exit 0
watch_over
