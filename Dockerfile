# syntax=docker/dockerfile:1

# --- What pip needs and leaves behind stays in this stage.
FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/reelbase
WORKDIR /src
# The dependencies first: this layer is made anew only when the lock changes. Wheels only, so
# that a platform without one fails here, with its name, and not in a missing compiler.
COPY requirements.lock ./
RUN /opt/reelbase/bin/pip install --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY migrations ./migrations
COPY server ./server
RUN /opt/reelbase/bin/pip install --no-deps .

# --- What runs.
FROM python:3.13-slim-trixie
# ffmpeg merges video and sound of downloads. The version is whatever this Debian has: pinning
# it would break the build with each security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin reelbase \
    && install -d -o reelbase -g reelbase -m 0700 /data \
    && ln -s /opt/reelbase/bin/reelbase /usr/local/bin/reelbase

# The service never runs as root, but the container starts as root, and this is why there is no
# USER line: a volume that Fly.io (or Docker, from a folder of the host) mounts over /data belongs
# to root at first, and the service could not write to it. So root hands the few files there over
# (the bytes of all videos are in one), also those that a command run as root may have left, and
# then becomes `reelbase` for good. Started as another user (`docker run --user`) it does neither.
COPY --chmod=755 <<'EOF' /usr/local/bin/as-reelbase
#!/bin/sh
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$REELBASE_DATA_DIR"
    find "$REELBASE_DATA_DIR" ! -user reelbase -exec chown -h reelbase:reelbase {} +
    exec setpriv --reuid=reelbase --regid=reelbase --init-groups --no-new-privs -- "$@"
fi
exec "$@"
EOF

COPY --from=build /opt/reelbase /opt/reelbase

ENV REELBASE_DATA_DIR=/data \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
VOLUME ["/data"]
EXPOSE 8080
# http.client, unlike curl, is there already, and unlike urllib it asks no proxy.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/opt/reelbase/bin/python", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["as-reelbase"]
# Migrates the database at start, under the lock of the data folder.
CMD ["reelbase", "serve", "--host", "0.0.0.0", "--port", "8080"]
