#!/usr/bin/env bash
# Does shellcheck find fault with the scripts?
set -euo pipefail
find . \( -path ./build -o -path ./.git \) -prune -o -name '*.sh' -print0 | sort -z | xargs -0 shellcheck .ci/run
