#!/usr/bin/env bash
#
# Which branches of the pure core the unit tests take.
#
#   tests/coverage.sh [PERCENT]      least share of branches in manager/core; 98 unless said
#
# Builds with the coverage preset, runs the unit tests of the core, prints the share for each file and every branch that
# no test takes. Exit code 1 when the share is too low.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1-} in
-h | --help)
    sed -n '3,8s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac

build=build/coverage
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    cmake --preset coverage -DHB_TESTS=ON
    cmake --build "$build" --target hb_core
    mapfile -t tests < <(ninja -C "$build" -t targets all | sed -nE 's/^(test_(registry_[a-z]+|deadline|worker_timeline|poll_schedule|gone_ids)): phony.*/\1/p' | sort -u)
    cmake --build "$build" --target "${tests[@]}"
    find "$build/manager" -name '*.gcda' -delete
    for test in "${tests[@]}"; do "$build/tests/$test"; done
} >"$log" 2>&1 || { tail -n 30 "$log" && exit 1; }

find "$build/manager/CMakeFiles/hb_core.dir" -name '*.gcda' -exec gcov --json-format --stdout --branch-probabilities {} + |
    /usr/bin/python3 -B tests/coverage.py manager/core "${1:-98}"
