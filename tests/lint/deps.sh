#!/usr/bin/env bash
# Does every file include, and the core call, only what DESIGN's rooms allow?
exec tests/check_deps.sh "$@"
