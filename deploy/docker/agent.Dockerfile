# An agent with a Docker engine of its own, which runs are carried out on. The
# machine's engine, if there is one, stays out of reach.
#
#   make images
#   docker build -f deploy/docker/agent.Dockerfile --target agent        -t ci-agent .
#   docker build -f deploy/docker/agent.Dockerfile --target agent-socket -t ci-agent-socket .
#
# What the container of "agent" may do, it needs for the engine: --privileged, or
# the narrower list in deploy/docker/README.md. "agent-socket" has no engine: it
# is given another one's socket, and who reaches that is root on its machine.
ARG BASE=debian:bookworm-slim

FROM $BASE AS agent-socket
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates curl git jq make openssh-client procps unzip xz-utils zip \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd -g 10001 ci && useradd -u 10001 -g 10001 -d /var/lib/ci-agent -s /usr/sbin/nologin ci \
 && install -d -o ci -g ci -m 0700 /var/lib/ci-agent/agent /var/lib/ci-shared
COPY bin/ci-agent /usr/local/bin/
RUN ln -s ci-agent /usr/local/bin/ci
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ci-agent" \
      org.opencontainers.image.description="An agent of ci, on the engine whose socket it is given" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV CI_AGENT_DATA=/var/lib/ci-agent/agent
VOLUME /var/lib/ci-agent
USER 10001:10001
ENTRYPOINT ["ci-agent"]

FROM $BASE AS agent
# As in the stage above, so that both share the layer.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates curl git jq make openssh-client procps unzip xz-utils zip \
 && rm -rf /var/lib/apt/lists/*
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends docker.io containerd runc fuse-overlayfs iptables nftables \
 && rm -rf /var/lib/apt/lists/* /var/lib/docker /var/lib/containerd
RUN groupadd -g 10001 ci && useradd -u 10001 -g 10001 -d /var/lib/ci-agent -s /usr/sbin/nologin ci \
 && install -d -o ci -g ci -m 0700 /var/lib/ci-shared
COPY bin/ci-agent /usr/local/bin/
RUN ln -s ci-agent /usr/local/bin/ci
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ci-agent" \
      org.opencontainers.image.description="An agent of ci, with a Docker engine of its own" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# DOCKER_HOST is for people who look inside: docker exec AGENT docker ps
ENV CI_AGENT_DATA=/var/lib/ci-agent/agent DOCKER_HOST=unix:///run/ci-engine/docker.sock
# The engine's containers and images, and the agent's name: what is here outlives the container.
VOLUME /var/lib/ci-agent
HEALTHCHECK --interval=15s --timeout=12s --start-period=2m --retries=3 CMD ["ci-agent", "engine-ready"]
# SIGTERM is a drain: it ends when its runs have ended. Give it time (docker stop -t, terminationGracePeriodSeconds).
STOPSIGNAL SIGTERM
ENTRYPOINT ["ci-agent", "with-engine"]
