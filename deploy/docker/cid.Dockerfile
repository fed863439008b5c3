# cid: static binaries, and git and ssh with the libraries that they need, which
# planning reads repositories with. There is no package manager in it, and no
# shell but the one that git starts ssh with.
#
#   make images          builds the programs and both images
#   docker build -f deploy/docker/cid.Dockerfile -t cid .        after make build
#
# Any Debian 12 will do as a base: --build-arg BASE=…
ARG BASE=debian:bookworm-slim

FROM $BASE AS gathered
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/docker/gather.sh /
RUN sh /gather.sh /out git ssh ssh-keyscan dash
COPY bin/cid bin/ci /out/usr/local/bin/

FROM scratch
COPY --from=gathered /out /
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cid" \
      org.opencontainers.image.description="The backend of ci: API, database, planning" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
ENV PATH=/usr/local/bin:/usr/bin:/bin HOME=/var/lib/ci CID_DATA=/var/lib/ci CID_LISTEN=0.0.0.0:8080 CID_AGENT=off
USER 10001:10001
VOLUME /var/lib/ci
EXPOSE 8080
# Behind that port something should speak TLS (--plain-http), or cid itself (--tls-cert).
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s --retries=3 CMD ["cid", "healthcheck"]
ENTRYPOINT ["cid"]
