# shellcheck shell=bash
#
# What the examples share. Each of them sources this file, calls `begin` with its arguments, starts programs with
# `need_port`, `start_redis`, `start_manager` and `start_service`, and ends in `watch_over`.
#
# Programs run in sessions of their own, so that Ctrl-C reaches only the script and the stop keeps its order: services,
# manager, Redis. The kernel ends each of them (PDEATHSIG) even when the script is killed with -9.
#
# HB_BUILD_DIR names a build whose programs are used; without it they are compiled into build/release first.
set -euo pipefail

examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$examples/../.." && pwd)
python=${PYTHON:-python3}
wait_limit_s=60
stop_limit_s=10

once=        # end as soon as what the example is to show was seen
seconds=     # end after so many
other_ports= # take the next free ports for those that are in use
work=        # temporary folder: logs, Redis' directory
url=         # the manager's
declare -A pid_of port_of
declare -A code_of # with which those that were stopped have ended

say() { printf '%s\n' "$*"; }

usage_error() {
    say "$(basename "$0"): $1 (see --help)" >&2
    exit 64
}

# The comment at the head of the script.
print_help() { sed -n '3,/^$/s/^#\( \|$\)//p' "$0"; }

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            print_help
            exit 0
            ;;
        --once) once=1 ;;
        --other-ports) other_ports=1 ;;
        --seconds | --seconds=*)
            seconds=${1#--seconds}
            seconds=${seconds#=}
            if [ -z "$seconds" ]; then
                [ $# -ge 2 ] || usage_error "--seconds needs a number"
                seconds=$2
                shift
            fi
            [[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || usage_error "--seconds '$seconds' must be a whole number above 0"
            ;;
        *) usage_error "unknown word '$1'" ;;
        esac
        shift
    done
}

# ---- programs ----

# launch NAME COMMAND...: in the background, its output in its log.
launch() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >>"$work/$name.log" 2>&1 </dev/null &
    pid_of[$name]=$!
}

running() { [ -n "${pid_of[$1]-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }

# stop NAME...: asks, waits, insists.
stop() {
    local name deadline=$((SECONDS + stop_limit_s))
    for name in "$@"; do
        # In this order: a SIGCONT that comes while a sanitizer looks for leaks at the end would hang it.
        if running "$name"; then kill -CONT "${pid_of[$name]}" && kill -TERM "${pid_of[$name]}"; fi 2>/dev/null || true
    done
    for name in "$@"; do
        while running "$name" && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
        if running "$name"; then
            say "$name did not stop within $stop_limit_s s: killed" >&2
            kill -KILL "${pid_of[$name]}" 2>/dev/null || true
        fi
        code_of[$name]=0
        wait "${pid_of[$name]}" 2>/dev/null || code_of[$name]=$?
        unset "pid_of[$name]"
    done
}

stop_all() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP # it is on its way out already
    local services=() name
    for name in "${!pid_of[@]}"; do
        case $name in manager | redis) ;; *) services+=("$name") ;; esac
    done
    stop "${services[@]}"
    if [ -n "${pid_of[manager]-}" ]; then stop manager; fi
    if [ -n "${pid_of[redis]-}" ]; then stop redis; fi
    if [ "${code_of[manager]-0}" != 0 ]; then
        tail -n 30 "$work/manager.log" >&2
        say "$(basename "$0"): the manager ended with ${code_of[manager]} when it was stopped" >&2
        code=1
    fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
    exit "$code"
}

# fail SENTENCE: with the end of every log, for the logs go with the rest.
fail() {
    local log
    for log in "$work"/*.log; do
        [ -s "$log" ] || continue
        say "---- the end of $(basename "$log")"
        tail -n 15 "$log"
    done >&2
    say "$(basename "$0"): $1" >&2
    exit 1
}

must_run() {
    local name
    for name in "$@"; do
        running "$name" || fail "$name has ended while $what"
    done
}

# wait_until SENTENCE COMMAND...: until the command succeeds; every program that was started must stay.
wait_until() {
    local what="waiting until $1" deadline=$((SECONDS + wait_limit_s))
    shift
    until "$@"; do
        must_run "${!pid_of[@]}"
        [ $SECONDS -lt $deadline ] || fail "$wait_limit_s s went by, $what"
        sleep 0.1
    done
}

fetch() { curl -fs --noproxy '*' --max-time 2 "$@"; }

# ---- ports ----

# Read from the kernel's table, which needs no tool and sees every address. 0A is LISTEN.
port_is_free() {
    local tables=(/proc/net/tcp)
    if [ -e /proc/net/tcp6 ]; then tables+=(/proc/net/tcp6); fi
    ! grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:[0-9A-F]+ 0A " "${tables[@]}"
}

# need_port NAME PORT: where the small project had it; elsewhere only with --other-ports.
need_port() {
    local port=$2
    if ! port_is_free "$port"; then
        [ -n "$other_ports" ] || fail "port $port, where $1 is to be, is in use: --other-ports takes the next free one"
        next_port "$1" $((port + 1))
        say "port $port is in use: $1 is on ${port_of[$1]}"
    else
        port_of[$1]=$port
    fi
}

next_port() {
    local port=$2 taken=" ${port_of[*]-} "
    until port_is_free "$port" && [[ $taken != *" $port "* ]]; do
        port=$((port + 1))
        [ "$port" -le 65535 ] || fail "no free port from $2 on for $1"
    done
    port_of[$1]=$port
}

# ---- steps ----

build() {
    [ -z "${HB_BUILD_DIR-}" ] || return 0
    HB_BUILD_DIR=$root/build/release
    "$root/deploy/packages.sh" build run
    [ -e "$HB_BUILD_DIR/build.ninja" ] || say "compiling (once; a minute or so)"
    mkdir -p "$root/build"
    # shellcheck disable=SC2016 # the inner shell expands them
    launch build flock "$root/build/.release.lock" sh -c '
        cd "$1" && { [ -e "$2" ] || cmake --preset release -DHB_TESTS=OFF; } &&
            cmake --build --preset release --target heartbeat-manager' sh "$root" "$HB_BUILD_DIR/build.ninja"
    wait "${pid_of[build]}" || fail "the manager does not compile"
    unset "pid_of[build]"
}

begin() {
    parse_arguments "$@"
    trap stop_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    work=$(mktemp -d "${TMPDIR:-/tmp}/heartbeat-example.XXXXXX")
    command -v "$python" >/dev/null || fail "$python is not there: the services of the examples are written in Python 3"
    build
}

redis_answers() { [ "$(redis-cli -p "${port_of[redis]}" ping 2>/dev/null)" = PONG ]; }

# A private one, on a free port.
start_redis() {
    next_port redis 17379
    mkdir "$work/redis"
    launch redis redis-server --bind 127.0.0.1 --port "${port_of[redis]}" --dir "$work/redis" --save "" --appendonly no
    wait_until "Redis answers" redis_answers
    unset REDIS_USERNAME REDIS_PASSWORD REDIS_PASSWORD_FILE REDIS_DB
    export REDIS_HOST=127.0.0.1 REDIS_PORT=${port_of[redis]}
}

manager_ready() { fetch -o /dev/null "$url/readyz"; }

# start_manager NAME=VALUE...: what the example needs; what the environment says of the same name wins.
start_manager() {
    local setting name
    for setting in "$@"; do
        name=${setting%%=*}
        export "$name=${!name:-${setting#*=}}"
    done
    launch manager env MANAGER_PORT="${port_of[manager]}" BIND_HOST="${BIND_HOST:-127.0.0.1}" \
        "$HB_BUILD_DIR/manager/heartbeat-manager"
    url=http://127.0.0.1:${port_of[manager]}
    wait_until "the manager is ready at $url/readyz" manager_ready
}

# start_service NAME ARGUMENTS...: of service.py, besides name and port.
start_service() {
    local name=$1
    shift
    launch "$name" "$python" -B "$examples/service.py" --name "$name" --port "${port_of[$name]}" "$@"
    wait_until "$name answers" fetch -o /dev/null "http://127.0.0.1:${port_of[$name]}/"
}

# watch_over NEWS SHOWN: calls NEWS, which prints what is new, until it is over: Ctrl-C, --seconds, or, with --once, when
# SHOWN succeeds. The manager and Redis must stay; services may come and go, that is what the manager is for.
watch_over() {
    local deadline=$((SECONDS + wait_limit_s)) what="the example was running"
    [ -n "$once$seconds" ] || say "Ctrl-C stops everything."
    if [ -n "$seconds" ]; then deadline=$((SECONDS + seconds)); fi
    while :; do
        "$1"
        must_run manager redis
        if [ -n "$once" ] && "$2"; then return 0; fi
        if [ $SECONDS -ge $deadline ]; then
            if [ -n "$once" ]; then fail "what --once waits for was not seen in time"; fi
            if [ -n "$seconds" ]; then return 0; fi
        fi
        sleep 0.2
    done
}
