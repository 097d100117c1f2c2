#!/usr/bin/env bash
#
# Fuzzes for hours, and keeps what it learns.
#
#   tests/fuzz/long.sh [--hours N] [--adopt] [TARGET...]
#
#   --hours N    in all, divided among the targets (default 1; decimals allowed)
#   --adopt      in the end, inputs that reach code which the corpus in the tree does not are copied there
#   TARGET       codec, conf, core, http, ws; all of them by default
#
# Uses all cores. What was learnt stays in build/fuzz/corpus/TARGET, merged and minimised after each run, and the next
# run starts from it and from tests/fuzz/corpus/TARGET. Inputs that break something are in build/fuzz/crashes/TARGET,
# and how to replay them is printed. Exit code 1 when there are any new ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

build=build/fuzz
hours=1
adopt=
targets=()

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '3,14s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --hours)
        [ $# -ge 2 ] || { echo "long.sh: --hours needs a number (see --help)" >&2; exit 64; }
        hours=$2
        shift
        ;;
    --adopt) adopt=1 ;;
    -*) echo "long.sh: unknown word '$1' (see --help)" >&2; exit 64 ;;
    *)
        [ -f "tests/fuzz/fuzz_$1.c" ] || { echo "long.sh: there is no target '$1' (see --help)" >&2; exit 64; }
        targets+=("$1")
        ;;
    esac
    shift
done
if [ ${#targets[@]} = 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        source=${source##*/fuzz_}
        targets+=("${source%.c}")
    done
fi
seconds=$(awk -v hours="$hours" -v count=${#targets[@]} 'BEGIN { printf "%d", hours * 3600 / count }')
[ "$seconds" -gt 0 ] || { echo "long.sh: --hours $hours is no time at all for ${#targets[@]} targets" >&2; exit 64; }

cmake --preset fuzz >/dev/null
cmake --build "$build" --target fuzz_targets

# The learnt corpus without what the rest of it reaches as well.
minimise() {
    local target=$1 merged
    merged=$(mktemp -d)
    "$build/tests/fuzz/fuzz_$target" -merge=1 -timeout=10 "$merged" "tests/fuzz/corpus/$target" \
        "$build/corpus/$target" >"$build/merge.log" 2>&1 || { tail -n 20 "$build/merge.log"; return 1; }
    rm -rf "$build/corpus/$target"
    mv "$merged" "$build/corpus/$target"
}

export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=16}
broken=0
for target in "${targets[@]}"; do
    binary=$build/tests/fuzz/fuzz_$target
    crashes=$build/crashes/$target
    arguments=(-fork="$(nproc)" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$crashes/")
    if [ -f "tests/fuzz/$target.dict" ]; then arguments+=("-dict=tests/fuzz/$target.dict"); fi
    mkdir -p "$build/corpus/$target" "$crashes"
    before=$(find "$crashes" -type f | wc -l)
    echo "== $target: $seconds s; log: $build/$target.log"
    nice "$binary" "${arguments[@]}" "$build/corpus/$target" "tests/fuzz/corpus/$target" >"$build/$target.log" 2>&1 || true
    grep -aE '^#[0-9]+: cov' "$build/$target.log" | tail -n 1 || true
    if [ "$(find "$crashes" -type f | wc -l)" != "$before" ]; then
        broken=1
        for input in "$crashes"/*; do echo "replay: HB_FUZZ_TRACE=1 $binary $input"; done
    else
        minimise "$target"
        if [ -n "$adopt" ]; then # by the code they reach alone, not by how often: the tree's corpus stays small
            "$binary" -merge=1 -use_counters=0 -timeout=10 "tests/fuzz/corpus/$target" "$build/corpus/$target" \
                >"$build/merge.log" 2>&1
        fi
    fi
    echo "   corpus: $(find "$build/corpus/$target" -type f | wc -l) learnt, $(find "tests/fuzz/corpus/$target" -type f | wc -l) in the tree"
done
exit $broken
