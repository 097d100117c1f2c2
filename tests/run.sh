#!/usr/bin/env bash
#
# Every test there is, on a build with address and undefined-behaviour sanitizers and warnings as errors.
#
#   tests/run.sh [--full] [-L LABEL] [-k EXPRESSION]
#
#   --full          also the long ones (HB_FULL=1)
#   -L LABEL        only the tests of one label: unit, sim, fuzz, integration, container, lint
#   -k EXPRESSION   only the integration tests that pytest selects by this expression
#
# Installs what it needs. The last line is "N passed, N failed, N skipped", with every cmocka and pytest case counted;
# exit code 1 when one has failed. What each test printed is in build/asan/Testing and build/asan/results.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

asan=build/asan   # what the tests run
plain=build/plain # the same programs without sanitizers, for valgrind
fuzz=build/fuzz   # the fuzz targets, each of which runs for HB_FUZZ_SECONDS (60)
jobs=$(nproc)
select=()
filtered=()

usage_error() {
    echo "run.sh: $1 (see --help)" >&2
    exit 64
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '3,12s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --full) export HB_FULL=1 ;;
    -L | -k)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        if [ "$1" = -L ]; then
            select=(-L "^$2\$")
        else
            select=(-L '^pytest$')
            filtered=(--filtered)
            export PYTEST_ADDOPTS="${PYTEST_ADDOPTS-} -k '$2'"
        fi
        shift
        ;;
    *) usage_error "unknown word '$1'" ;;
    esac
    shift
done

# Whatever fails before there are tests to count is one failure.
give_up() {
    echo "$1"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        grep -E -A 12 'error|FAILED|warning' "$log" | head -n 60 || true
        tail -n 15 "$log"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Not needed when tests of another label are asked for.
build_fuzz() {
    case "${select[*]}" in
    '' | '-L ^fuzz$') quietly cmake --preset fuzz -DHB_WERROR=ON && quietly cmake --build "$fuzz" --target fuzz_targets ;;
    esac
}

build_all() {
    quietly cmake --preset asan -DHB_WERROR=ON -DHB_TESTS=ON -DHB_PLAIN_BUILD_DIR="$PWD/$plain" \
        -DHB_FUZZ_BUILD_DIR="$PWD/$fuzz" &&
        quietly cmake --build "$asan" &&
        quietly cmake -S . -B "$plain" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DHB_TESTS=OFF -DHB_WERROR=ON &&
        quietly cmake --build "$plain" && build_fuzz
}

deploy/packages.sh build run test || give_up "the packages are missing"
started=$SECONDS
build_all || give_up "the build failed"
echo "built in $((SECONDS - started)) s"

# A result of an earlier run must not be counted. Most of an integration test is waiting, so more run than there are cores.
rm -rf "$asan/results" "$asan/ctest.xml"
mkdir -p "$asan/results"
started=$SECONDS
status=0
ctest --test-dir "$asan" --parallel $((jobs + 1)) --output-on-failure --no-tests=error --output-junit ctest.xml \
    --test-output-size-passed 4000000 --test-output-size-failed 4000000 "${select[@]}" || status=$?
echo "ran in $((SECONDS - started)) s"
grep -h '^SKIP: ' "$asan/Testing/Temporary/LastTest.log" || true # why a whole test was left out
/usr/bin/python3 -B tests/count_results.py "${filtered[@]}" --ctest-status "$status" "$asan/ctest.xml" "$asan/results"
