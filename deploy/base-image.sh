#!/usr/bin/env bash
#
# Makes the two images that the containers stand on out of Debian 12's packages, where no image registry can be reached:
#
#   export $(deploy/base-image.sh)
#   docker-compose up -d
#
# Prints two lines, BASE_IMAGE=… and REDIS_IMAGE=…, and nothing else on standard output. Images that are there already
# are kept; --renew makes them anew, with the packages of today.
#
# Their names are our own, so that neither passes for the public image whose place it takes. The packages come from
# where this machine's apt gets them; the image keeps those sources, and what apt has to be told to reach them, because
# the Dockerfile installs from there too.
set -euo pipefail

base_image=heartbeat-base:bookworm
redis_image=heartbeat-redis:bookworm
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'base-image: %s\n' "$*" >&2; }

fail() {
    say "$1"
    exit 1
}

exists() { docker image inspect "$1" >/dev/null 2>&1; }

# quietly WHAT COMMAND...: its output only when it fails.
quietly() {
    local what=$1 began=$SECONDS
    shift
    say "making $what"
    if ! "$@" >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        fail "$what could not be made; the end of what was printed is above"
    fi
    say "made $what in $((SECONDS - began)) s"
}

# This machine's own lines for Debian 12; none when it runs something else, and then mmdebstrap knows the public ones.
host_sources() {
    command -v apt-get >/dev/null || return 0
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        grep -E ' bookworm(-updates|-security)? main$' | sort -u || true
}

# Proxies, and whether the dates of the indexes count: a machine that lives on a snapshot says they don't.
host_apt_options() {
    command -v apt-config >/dev/null || return 0
    apt-config dump --no-empty --format '%F "%v";%n' Acquire |
        grep -E '^Acquire::(https?::Proxy[^ ]*|Check-Valid-Until|Check-Date) ' || true
}

# Without what debian:*-slim leaves out as well. usr-is-merged comes with its hook: without it, usrmerge and perl would.
bootstrap() {
    local unwanted option options=() sources
    for unwanted in doc man info locale lintian groff; do
        options+=(--dpkgopt="path-exclude=/usr/share/$unwanted/*")
    done
    options+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
    while read -r option; do options+=(--aptopt="$option"); done < <(host_apt_options)
    sources=$(host_sources)
    if [ -n "$sources" ]; then
        printf '%s\n' "$sources" >"$work/sources.list"
        options+=(bookworm "$work/base.tar" "$work/sources.list")
    else
        options+=(bookworm "$work/base.tar")
    fi
    # A package that starts a service when it is installed must not try to in a container.
    # shellcheck disable=SC2016 # $1 is for the shell of the hooks
    mmdebstrap --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"' \
        --customize-hook='chmod 755 "$1/usr/sbin/policy-rc.d"' \
        --customize-hook='rm -rf "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/debconf/*-old' \
        "${options[@]}" &&
        docker import --change 'CMD ["bash"]' "$work/base.tar" "$base_image"
}

# The names of the proxy variables are known to every builder, and are kept out of the image.
with_redis() {
    local variable arguments=()
    for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        if [ -n "${!variable-}" ]; then arguments+=(--build-arg "$variable"); fi
    done
    docker build "${arguments[@]}" --tag "$redis_image" - <<END
FROM $base_image
RUN apt-get -q update \\
    && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends redis-server \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log /var/log/apt
USER redis
CMD ["redis-server"]
END
}

renew=
case ${1-} in
"") ;;
--renew) renew=1 ;;
-h | --help)
    sed -n '3,13s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*)
    say "unknown word '$1' (see --help)"
    exit 64
    ;;
esac

docker version >/dev/null 2>&1 || fail "no answer from a Docker daemon: is one running, and may this user speak to it?"
work=$(mktemp -d "${TMPDIR:-/tmp}/heartbeat-base.XXXXXX")
trap 'rm -rf "$work"' EXIT
if [ -n "$renew" ] || ! exists "$base_image"; then
    command -v mmdebstrap >/dev/null || "$root/deploy/packages.sh" image >&2
    quietly "$base_image" bootstrap
    renew=1
fi
if [ -n "$renew" ] || ! exists "$redis_image"; then quietly "$redis_image" with_redis; fi
printf 'BASE_IMAGE=%s\nREDIS_IMAGE=%s\n' "$base_image" "$redis_image"
