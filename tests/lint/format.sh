#!/usr/bin/env bash
# Is every C file as clang-format would write it? To mend: clang-format -i FILE
set -euo pipefail
find . \( -path ./build -o -path ./.git \) -prune -o -name '*.[ch]' -print0 | sort -z |
    xargs -0 -r clang-format --dry-run -Werror
