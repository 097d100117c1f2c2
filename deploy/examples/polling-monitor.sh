#!/usr/bin/env bash
#
# The polling monitor: services register themselves, and are asked for /health every POLL_INTERVAL seconds (10), at most
# five of them at a time. svc1 is always healthy; svc2 counts more and more errors and becomes degraded, though it is
# still ready: readiness and health are two things.
#
#   deploy/examples/polling-monitor.sh [--once] [--seconds N] [--other-ports]
#
#   --once         end, with exit code 0, as soon as svc1 was seen healthy and svc2 degraded
#   --seconds N    end after N seconds
#   --other-ports  where a port is in use, take the next free one
#   --help         this text
#
#   manager  http://127.0.0.1:8080/metrics   svc1  9001   svc2  9002
#
# POLL_INTERVAL=1 deploy/examples/polling-monitor.sh shows it faster.

# shellcheck disable=SC1091,SC2154
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# One line for each service, from /metrics.
read_metrics() {
    fetch -H 'Accept: application/json' "$url/metrics" | "$python" -c '
import json, sys
for name, m in json.load(sys.stdin).items():
    attributes = " ".join(f"{key}={value}" for key, value in m["attributes"].items())
    print("%s  ready=%s health=%s requests=%d errors=%d rate=%.2f  %s" % (
        name, str(m["ready"]).lower(), m["health"], m["request_count"], m["error_count"], m["error_rate"], attributes))'
}

lines=
news() {
    local now
    now=$(read_metrics) || fail "$url/metrics does not answer"
    if [ "$now" != "$lines" ]; then say "$now" ""; fi
    lines=$now
}

shown() { [[ $lines == *"svc1  ready=true health=healthy"* && $lines == *"svc2  ready=true health=degraded"* ]]; }

begin "$@"
need_port manager 8080
need_port svc1 9001
need_port svc2 9002
start_redis
start_manager POLL_INTERVAL=10 POLL_CONCURRENCY=5
say "the manager polls every $POLL_INTERVAL s; all it knows: curl $url/metrics"
start_service svc1 --register "$url" --register-attributes '{"service":"user","env":"prod"}' \
    --attributes '{"version":"1.4.2"}'
start_service svc2 --behaviour degrading --register "$url" --register-attributes '{"service":"order","env":"prod"}' \
    --attributes '{"version":"0.9.0","env":"staging"}'
say "svc1 (port ${port_of[svc1]}) and svc2 (port ${port_of[svc2]}) register themselves"
watch_over news shown
