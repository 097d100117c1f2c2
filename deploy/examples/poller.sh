#!/usr/bin/env bash
#
# The poller: asks three servers for /ping every POLL_INTERVAL seconds (10), and keeps a file health_status.json that
# says which of them may get requests: {"server1":true,"server2":false,"server3":true}
#
#   deploy/examples/poller.sh [--file PATH] [--once] [--seconds N] [--other-ports]
#
#   --file PATH    where the file is to be (a temporary folder, which goes with the rest)
#   --once         stop server2 and start it again, watch the file follow, and end with exit code 0
#   --seconds N    end after N seconds
#   --other-ports  where a port is in use, take the next free one
#   --help         this text
#
#   manager  http://127.0.0.1:8000/workers   servers  8081, 8082, 8083
#
# POLL_INTERVAL=1 deploy/examples/poller.sh shows it faster.

# shellcheck disable=SC1091,SC2154
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file=
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
    --file)
        [ $# -ge 2 ] || usage_error "--file needs a path"
        file=$2
        shift
        ;;
    --file=*) file=${1#*=} ;;
    *) arguments+=("$1") ;;
    esac
    shift
done

lines=
news() {
    local now
    now=$(cat "$file")
    if [ "$now" != "$lines" ]; then say "$(basename "$file"): $now"; fi
    lines=$now
}

start_server() { start_service "$1" --path /ping; }

# The story of --once, one step at a time.
step=0
shown() {
    case $step:$lines in
    '0:{"server1":true,"server2":true,"server3":true}')
        say "server2 is stopped"
        stop server2
        step=1
        ;;
    '1:{"server1":true,"server2":false,"server3":true}')
        say "server2 is started again"
        start_server server2
        step=2
        ;;
    '2:{"server1":true,"server2":true,"server3":true}') return 0 ;;
    esac
    return 1
}

begin "${arguments[@]}"
file=${file:-$work/health_status.json}
need_port server1 8081
need_port server2 8082
need_port server3 8083
next_port manager 8000
start_redis
for name in server1 server2 server3; do start_server "$name"; done
printf '{\n    "server1": false,\n    "server2": false,\n    "server3": false\n}\n' >"$file"
cat >"$work/server_db.json" <<END
{
  "server_list": [
    {"id": 1, "url": "http://127.0.0.1:${port_of[server1]}/ping"},
    {"id": 2, "url": "http://127.0.0.1:${port_of[server2]}/ping"},
    {"id": 3, "url": "http://127.0.0.1:${port_of[server3]}/ping"}
  ]
}
END
start_manager TARGETS_FILE="$work/server_db.json" HEALTH_STATUS_FILE="$file" POLL_INTERVAL=10
say "three servers, pinged every $POLL_INTERVAL s; the file is $file"
say "to stop one: kill ${pid_of[server2]} (server2)"
watch_over news shown
