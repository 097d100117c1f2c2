#!/usr/bin/env bash
#
# Runs a command where a Docker daemon answers:  with_dockerd.sh COMMAND...
#
# A daemon that answers already is used as it is. Where none does, one is started, installed before if need be, on a
# socket and folders of its own, so that it wakes nobody's containers; it ends with this script, which then puts the
# network back as it was. Its images stay in /var/cache/heartbeat-docker for the next run. Where none can run:
# "SKIP: <why>" and exit code 77.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
store=/var/cache/heartbeat-docker
start_limit_s=60
turn_limit_s=900 # for another run of this script to end: two daemons on one store or one bridge ruin each other
stop_limit_s=30
poll_s=0.1
daemon=
forwarding=/proc/sys/net/ipv4/ip_forward

skip() {
    echo "SKIP: $1"
    exit 77
}

answers() { docker version >"$work/answer" 2>&1; }

has_compose() { docker-compose version >/dev/null 2>&1 || docker compose version >/dev/null 2>&1; }

last_words() { grep -v level=info "$work/dockerd.log" | tail -n 1; }

start_daemon() {
    local deadline
    exec {turn}>"$store.lock"
    flock --timeout $turn_limit_s "$turn" || skip "another run has had the daemon for more than $turn_limit_s s"
    deadline=$((SECONDS + start_limit_s))
    export DOCKER_HOST=unix://$work/docker.sock
    # Docker leaves whoever turned forwarding on alone; else it turns it on, and the firewall's FORWARD chain to DROP.
    forwarded=$(cat $forwarding)
    { echo 1 >$forwarding; } 2>/dev/null || skip "packets cannot be forwarded between networks here"
    [ -e /sys/class/net/docker0 ] || bridge_is_ours=1
    # The kernel ends it even when this script is killed with -9, as a test that takes too long is.
    setpriv --pdeathsig TERM dockerd --host "$DOCKER_HOST" --data-root "$store" \
        --exec-root "$work/exec" --pidfile "$work/docker.pid" >"$work/dockerd.log" 2>&1 &
    daemon=$!
    until answers; do
        kill -0 "$daemon" 2>/dev/null || skip "dockerd ended at once: $(last_words)"
        [ $SECONDS -lt $deadline ] || skip "dockerd does not answer within $start_limit_s s: $(last_words)"
        sleep $poll_s
    done
    echo "started dockerd (pid $daemon)"
}

clean_up() {
    trap - EXIT
    local deadline=$((SECONDS + stop_limit_s))
    if [ -n "$daemon" ]; then
        kill -TERM "$daemon" 2>/dev/null || true
        while kill -0 "$daemon" 2>/dev/null && [ $SECONDS -lt $deadline ]; do sleep $poll_s; done
        kill -KILL "$daemon" 2>/dev/null || true
        echo "$forwarded" >$forwarding
        [ -z "${bridge_is_ours-}" ] || ip link delete docker0 2>/dev/null || true
    fi
    rm -rf "$work"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/heartbeat-docker.XXXXXX")
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# No daemon is installed beside one that answers: Debian's package would put another maker's out.
if ! answers; then
    [ "$(id -u)" = 0 ] || skip "starting dockerd needs root, and none answers: $(tail -n 1 "$work/answer")"
    command -v dockerd >/dev/null || "$root/deploy/packages.sh" container || skip "docker.io cannot be installed"
    command -v dockerd >/dev/null || skip "there is no dockerd"
    start_daemon
fi
has_compose || "$root/deploy/packages.sh" container || skip "docker-compose cannot be installed"
has_compose || skip "there is neither docker-compose nor docker compose"

"$@"
