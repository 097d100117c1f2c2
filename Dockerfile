# One image with all programs, chosen by command:
#
#   docker build -t heartbeat-manager .
#   docker run --rm heartbeat-manager heartbeat-worker --help
#
# Plain syntax on purpose: the legacy builder and BuildKit take it alike, and neither has to fetch a frontend. Where no
# registry can be reached, deploy/base-image.sh makes a base image. What goes in is listed in .dockerignore.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# The packages first, alone: their layer stays while the sources change.
COPY deploy/packages.sh deploy/
RUN deploy/packages.sh build
COPY . .
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DHB_TESTS=OFF \
    && cmake --build /build \
    && cmake --install /build --prefix /installed --strip

FROM ${BASE_IMAGE}
# libwebsockets loads its libuv loop from the evlib package by itself: nothing depends on it, nothing runs without it.
RUN apt-get -q update \
    && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
        libwebsockets17 libwebsockets-evlib-uv libhiredis0.14 libjson-c5 libuv1 \
        libcurl4 ca-certificates zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/log/*.log /var/log/apt
COPY LICENSE /usr/share/doc/heartbeat-manager/copyright
COPY --from=build /installed/bin/ /usr/local/bin/

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Heartbeat Manager" \
    org.opencontainers.image.description="Knows which services are alive, and tells everyone who cares" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="MIT"

# A number, so that Kubernetes can see that it is not root. Nothing is written: --read-only and --cap-drop ALL are fine.
USER 10001:10001
EXPOSE 8000 8001
# Each program can ask the one of its kind that runs beside it; which one does is the command of process 1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD "$(tr '\0' '\n' </proc/1/cmdline | grep -o -m 1 'heartbeat-[a-z]*$')" --health
CMD ["heartbeat-manager"]
