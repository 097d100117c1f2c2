#!/usr/bin/env bash
#
# The pub/sub monitor: five servers that draw at random how they are, and what the manager publishes about it on the
# channels server:up, server:down and server:recovery of Redis. One look decides (POLL_FALL and POLL_RISE are 1).
#
#   deploy/examples/random-health.sh [--once] [--seconds N] [--other-ports]
#
#   --once         end, with exit code 0, as soon as a server went down and recovered
#   --seconds N    end after N seconds
#   --other-ports  where a port is in use, take the next free one
#   --help         this text
#
#   manager  http://127.0.0.1:8080/workers   servers  9101 to 9105
#
# HOLD_SECONDS (4) is how long a draw holds, POLL_INTERVAL (1) how often the manager looks.

# shellcheck disable=SC1091,SC2154
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What redis-cli prints of a message is four lines: pmessage, pattern, channel, payload.
published() { awk '$0 == "pmessage" { at = NR } at && NR == at + 2 { channel = $0 } at && NR == at + 3 { print channel, $0 }' "$work/published.log"; }

lines=0
news() {
    published | tail -n "+$((lines + 1))"
    lines=$(published | wc -l)
}

# Of one server: down, and later recovery.
shown() {
    published | awk -F'"' '/^server:down / { down[$4] = 1 } /^server:recovery / && down[$4] { seen = 1 } END { exit !seen }'
}

subscribed() { grep -q psubscribe "$work/published.log"; }

write_targets() {
    local i separator=
    printf '{"server_list":['
    for i in 1 2 3 4 5; do
        printf '%s\n  {"id":%d,"host":"127.0.0.1","port":%d}' "$separator" "$i" "${port_of[server$i]}"
        separator=,
    done
    printf '\n]}\n'
}

begin "$@"
need_port manager 8080
for i in 1 2 3 4 5; do need_port "server$i" $((9100 + i)); done
start_redis
launch published redis-cli -p "$REDIS_PORT" psubscribe 'server:*'
wait_until "the subscription stands" subscribed
for i in 1 2 3 4 5; do start_service "server$i" --behaviour random --hold "${HOLD_SECONDS:-4}"; done
write_targets >"$work/targets.json"
start_manager TARGETS_FILE="$work/targets.json" POLL_INTERVAL=1 POLL_FAST_INTERVAL=1 POLL_FALL=1 POLL_RISE=1
say "five servers, each well with 80 %. What is published (redis-cli -p $REDIS_PORT psubscribe 'server:*'):"
watch_over news shown
