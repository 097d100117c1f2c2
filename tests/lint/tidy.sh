#!/usr/bin/env bash
# Does clang-tidy (.clang-tidy) find fault with the programs? Takes the build whose compile_commands.json to use.
set -euo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# gcc may know warnings that clang does not; that is none of the sources' faults.
if ! run-clang-tidy -quiet -p "$1" -j "$(nproc)" -extra-arg=-Wno-unknown-warning-option \
    '/(proto|manager|worker|balancer)/.*\.c$' >"$log" 2>&1; then
    sed 's/\x1b\[[0-9;]*m//g' "$log" |
        grep -vE '^(clang-tidy|[0-9]+ warnings? (generated|treated)|Suppressed|Use -)' | head -n 200
    exit 1
fi
