#!/usr/bin/env bash
#
# Installs what is missing of the Debian 12 packages that a set of jobs needs, and nothing else.
#
#   deploy/packages.sh build          compile the programs
#   deploy/packages.sh run            run them (libwebsockets reaches libuv through a plugin package that nothing pulls in)
#   deploy/packages.sh build run test everything that tests/run.sh calls
#   deploy/packages.sh bench          measure them beside their peers (tests/bench), and profile them
#   deploy/packages.sh container      run them in containers
#   deploy/packages.sh image          make a base image, for deploy/base-image.sh
#   deploy/packages.sh --list build   only name the packages
#
# Quiet, and apt-get is not called at all when everything is there; no package is ever removed. Debian's redis-server
# package would start a server on port 6379, prometheus one on port 9090, its blackbox exporter one on 9115, and docker.io
# its daemon: they are kept from starting, now and at the next boot, unless the package was on the machine before.
set -euo pipefail

packages_of() {
    case $1 in
    build) echo gcc libc6-dev cmake ninja-build pkg-config \
        libwebsockets-dev libhiredis-dev libjson-c-dev libuv1-dev libcurl4-openssl-dev zlib1g-dev ;;
    run) echo libwebsockets-evlib-uv libcurl4 redis-server redis-tools curl ca-certificates ;;
    test) echo libcmocka-dev valgrind iproute2 nftables openssl clang libclang-rt-dev llvm clang-format clang-tidy shellcheck \
        python3 python3-pytest python3-websocket python3-redis python3-requests prometheus ;;
    bench) echo redis-server linux-perf prometheus-blackbox-exporter ;;
    container) echo docker.io docker-compose ;;
    image) echo mmdebstrap ;;
    *) return 1 ;;
    esac
}

say() { printf 'packages: %s\n' "$*" >&2; }

usage() {
    sed -n '3,11s/^#\( \|$\)//p' "$0"
    exit "$1"
}

# Prints those of its arguments that are not installed.
missing_of() {
    # dpkg-query complains about, and leaves out, what it has never heard of.
    dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        awk -v wanted="$*" '
            $2 == "installed" { have[$1] = 1 }
            END { n = split(wanted, names, " "); for (i = 1; i <= n; i++) if (!(names[i] in have)) print names[i] }'
}

# policy-rc.d answers 101 to whoever asks whether a service may be started. One that forbids it already stays in place.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    if [ -x "$policy" ] && { status=0; "$policy" redis-server start >/dev/null 2>&1 || status=$?; [ "$status" = 101 ]; }; then
        return
    fi
    policy_saved=$(mktemp -d)
    if [ -e "$policy" ]; then "${as_root[@]}" cp -a "$policy" "$policy_saved/"; fi
    trap restore_services EXIT
    printf '#!/bin/sh\n# Put here for the time of one package installation by deploy/packages.sh.\nexit 101\n' \
        >"$policy_saved/forbid"
    "${as_root[@]}" install -m 0755 "$policy_saved/forbid" "$policy"
}

restore_services() {
    "${as_root[@]}" rm -f "$policy"
    if [ -e "$policy_saved/policy-rc.d" ]; then "${as_root[@]}" cp -a "$policy_saved/policy-rc.d" "$policy"; fi
    "${as_root[@]}" rm -rf "$policy_saved"
}

apt() {
    # An automatic upgrade may hold the lock on a machine that was just started: wait for it, do not fail.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

install_missing() {
    local log
    log=$(mktemp)
    say "installing ${missing[*]}"
    if ! { apt -q -y update && apt -q -y install --no-install-recommends --no-remove "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        say "apt-get failed; its last lines are above"
        return 1
    fi
    rm -f "$log"
}

list_only=
sets=()
for word in "$@"; do
    case $word in
    --list) list_only=1 ;;
    -h | --help) usage 0 ;;
    *)
        if ! packages_of "$word" >/dev/null; then
            say "there is no set '$word'; the sets are build, run, test, bench, container and image"
            exit 64
        fi
        sets+=("$word")
        ;;
    esac
done
[ ${#sets[@]} -gt 0 ] || usage 64 >&2

mapfile -t wanted < <(for set in "${sets[@]}"; do packages_of "$set" | tr ' ' '\n'; done)
if [ -n "$list_only" ]; then
    printf '%s\n' "${wanted[@]}"
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this system has no apt-get; what is needed here, by its Debian 12 names: ${wanted[*]}"
    exit 0
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "these packages are missing, and this is neither root nor is there sudo; as root run:"
        say "    apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi

services=()
case " ${missing[*]} " in *" redis-server "*) services+=(redis-server) ;; esac
case " ${missing[*]} " in *" prometheus "*) services+=(prometheus.service) ;; esac
case " ${missing[*]} " in *" prometheus-blackbox-exporter "*) services+=(prometheus-blackbox-exporter.service) ;; esac
case " ${missing[*]} " in *" docker.io "*) services+=(docker.socket docker.service containerd.service) ;; esac
if [ ${#services[@]} -gt 0 ]; then forbid_services; fi
install_missing
# A package also enables its service for the next boot.
if [ ${#services[@]} -gt 0 ] && [ -d /run/systemd/system ]; then
    "${as_root[@]}" systemctl --quiet disable "${services[@]}" >/dev/null 2>&1 || true
fi
