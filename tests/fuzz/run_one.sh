#!/usr/bin/env bash
#
# One fuzz target, HB_FUZZ_SECONDS (60) long, from its corpus: run_one.sh BINARY
#
# The corpus is copied first, so the tree stays as it is. What a crash needs to be replayed is printed; the input stays
# in the directory `crashes` beside the binary.
set -euo pipefail

binary=$1
seconds=${HB_FUZZ_SECONDS:-60}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$binary")
target=${name#fuzz_}
crashes=$(dirname "$binary")/crashes/$target

if [ ! -x "$binary" ]; then
    echo "run_one.sh: there is no $binary; build it: cmake --preset fuzz && cmake --build build/fuzz --target fuzz_targets" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/corpus" "$crashes"
cp -R "$here/corpus/$target/." "$work/corpus/"
arguments=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$crashes/")
if [ -f "$here/$target.dict" ]; then arguments+=("-dict=$here/$target.dict"); fi

# Everybody else on this machine goes first; and what was freed is kept for a while, not for ever.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=16}
status=0
nice -n 19 timeout $((seconds + 120)) "$binary" "${arguments[@]}" "$work/corpus" >"$work/log" 2>&1 || status=$?
sed -n 's/^#\([0-9]*\)[^c]*\(cov: [0-9]* ft: [0-9]* corp: [^ ]*\).*/\2/p' "$work/log" | tail -n 1 |
    sed "s/^/$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") runs, $(
        sed -n 's/^stat::average_exec_per_sec: *//p' "$work/log") a second, /"
if [ "$status" != 0 ]; then
    grep -av '^#' "$work/log" | grep -avE '^("|INFO|stat::|###)' | head -n 120
    found=$(grep -aoE 'Test unit written to .*' "$work/log" | sed 's/.*written to //' | tail -n 1 || true)
    echo "$name ended with $status"
    if [ -n "$found" ]; then
        echo "replay: HB_FUZZ_TRACE=1 $binary $found"
        HB_FUZZ_TRACE=1 timeout 60 "$binary" "$found" 2>&1 | grep -a '^  ' | grep -avE '^ +#' | tail -n 60 || true
    fi
    exit 1
fi
