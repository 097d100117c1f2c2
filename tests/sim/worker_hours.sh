#!/usr/bin/env bash
#
#   tests/sim/worker_hours.sh PROGRAM HOURS FULL_HOURS [OPTION...]    as many worker-hours as HB_FULL asks for
set -euo pipefail
program=$1
hours=$2
if [ "${HB_FULL-}" = 1 ]; then hours=$3; fi
shift 3
exec "$program" --hours "$hours" "$@"
