#!/usr/bin/env bash
# The README's tables of options are what the programs print: readme.sh BUILD
set -euo pipefail

status=0
for program in manager worker; do
    documented=$(sed -n "/^<!-- $program options/,/^<!-- end -->/p" README.md | grep '^|')
    if ! diff <(printf '%s\n' "$documented") <("$1/$program/heartbeat-$program" --help-markdown); then
        echo "README.md: replace the table of the $program's options by heartbeat-$program --help-markdown"
        status=1
    fi
done
exit $status
