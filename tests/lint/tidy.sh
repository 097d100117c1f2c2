#!/usr/bin/env bash
# Does clang-tidy (.clang-tidy) find fault with the programs? Takes the build whose compile_commands.json to use.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The tests compile some sources once more, with other options: once is enough.
/usr/bin/python3 -B - "$1" >"$work/compile_commands.json" <<'END'
import json, sys
with open(sys.argv[1] + "/compile_commands.json") as file:
    commands = json.load(file)
json.dump([entry for entry in commands if " -o tests/" not in entry["command"]], sys.stdout)
END
# gcc may know warnings that clang does not; that is none of the sources' faults.
if ! run-clang-tidy -quiet -p "$work" -j "$(nproc)" -extra-arg=-Wno-unknown-warning-option \
    '/(proto|manager|worker|balancer)/.*\.c$' >"$work/log" 2>&1; then
    sed 's/\x1b\[[0-9;]*m//g' "$work/log" |
        grep -vE '^(clang-tidy|[0-9]+ warnings? (generated|treated)|Suppressed|Use -)' | head -n 200
    exit 1
fi
