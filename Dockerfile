# packages ─▶ runtime: a lean image that any ASGI app can be put into   (docker build --target runtime)
#        │ └▶ service: the shipped privacy service                      (docker build --target service, the default)
#        └▶ build: has pip, for applications' own packages             (scripts/bases.sh)
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b


# ── packages: a virtual environment from hashed wheels; this stage is thrown away ───────────────────────────────────
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PATH=/opt/venv/bin:$PATH
RUN apt-get update -q && apt-get install -qy --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
COPY requirements/runtime.txt requirements/
# The host's CA bundle and pip configuration are lent to the command, not copied: a TLS-inspecting proxy or a private
# index works, and neither ends up in a layer. Wheels only: nothing is compiled, so nothing needs a compiler.
RUN --mount=type=secret,id=ca_bundle --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    pip install --require-hashes --only-binary=:all: -r requirements/runtime.txt

FROM packages AS build
COPY scripts/locks.py /opt/locks.py
COPY docker/overlay/install.py pyproject.toml /opt/floors/

# For images that bring a Python of their own, with or without a pip (docker/overlay).
FROM packages AS pip
RUN mkdir /pip && cp -r /opt/venv/lib/python3*/site-packages/pip /pip/

FROM packages AS build-service
COPY requirements/service.txt requirements/
RUN --mount=type=secret,id=ca_bundle --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    if [ -s /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    pip install --require-hashes --only-binary=:all: -r requirements/service.txt

# ── code: the library and server every application gets, and the shipped service ────────────────────────────────────
FROM packages AS code-runtime
COPY sightglass /opt/sightglass/sightglass
# A clone made under a strict umask: the container's user could not read it.
RUN chmod -R a+rX /opt/sightglass

# The commit, for a build that nobody tells it (plain `docker compose build`); empty where git is not. What has been
# changed since is not known here. The brackets let the copy succeed where there is nothing to copy.
FROM ${PYTHON_IMAGE} AS revision
COPY .gi[t] /git
RUN head=$(cat /git/HEAD 2>/dev/null || true); ref=${head#ref: }; \
    case $head in \
        "ref: "*) cat "/git/$ref" 2>/dev/null || awk -v ref="$ref" '$2 == ref {print $1}' /git/packed-refs 2>/dev/null || true ;; \
        *) echo "$head" ;; \
    esac > /REVISION

FROM packages AS code-service
COPY api /opt/service/api
RUN chmod -R a+rX /opt/service

# pip has done its work, and debug symbols are a third of what it installed.
FROM packages AS venv-runtime
RUN pip uninstall -qy pip && find /opt/venv -name '*.so*' -exec strip --strip-debug {} +

FROM build-service AS venv-service
RUN pip uninstall -qy pip && find /opt/venv -name '*.so*' -exec strip --strip-debug {} +
# Packages' own tests, some of which numpy.testing needs; of AWS's services all but S3 and those that give keys to it; a
# bundle of certificates that is not used beside certifi's.
RUN cd /opt/venv/lib/python3*/site-packages && find . -name tests -type d -not -path './numpy/*' -prune -exec rm -r {} + \
    && rm botocore/cacert.pem \
    && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name signin ! -name 'sso*' ! -name sts -exec rm -r {} +


# ── base: everything the two final images share but their packages ──────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS base
# The base image's own pip: what cannot install cannot be made to.
RUN rm -rf /usr/local/lib/python3*/*-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
        /usr/share/python-wheels /usr/lib/python3*/ensurepip \
    && groupadd --gid 10001 app && useradd --uid 10001 --gid app --home-dir /app --no-create-home app \
    # A named volume takes the owner of the directory it is first mounted over.
    && install -d -o app -g app /app /app/runs /run/tls /run/credentials /run/operators /run/valkey /run/database \
        /run/edge \
    && install -d -o app -g app /run/telemetry/logs /run/telemetry/traces
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/app:/app:/opt/sightglass \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 8000 9464
# Readiness over a bare socket: no curl in the image, no HTTP client to import every ten seconds.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python3", "-IS", "/opt/sightglass/sightglass/server/healthcheck.py"]
CMD ["python", "-m", "sightglass.server"]


FROM base AS runtime
COPY --from=venv-runtime /opt/venv /opt/venv
COPY --from=code-runtime /opt/sightglass /opt/sightglass
COPY --from=revision /REVISION /opt/sightglass/
ARG VERSION
ARG REVISION
ARG CREATED=unknown
ENV SIGHTGLASS_APP_VERSION=${VERSION} SIGHTGLASS_APP_REVISION=${REVISION}
LABEL org.opencontainers.image.title="sightglass-runtime" \
      org.opencontainers.image.version="${VERSION:-0.0.0+unknown}" \
      org.opencontainers.image.revision="${REVISION:-unknown}" \
      org.opencontainers.image.created="${CREATED}"


FROM base AS service
COPY --from=venv-service /opt/venv /opt/venv
COPY --from=code-runtime /opt/sightglass /opt/sightglass
COPY --from=revision /REVISION /opt/sightglass/
COPY --from=code-service /opt/service /opt/service
# An application of yours that is mounted may be called api, too.
ENV SIGHTGLASS_APP_FALLBACK_DIR=/opt/service
ARG VERSION
ARG REVISION
ARG CREATED=unknown
ENV SIGHTGLASS_APP_VERSION=${VERSION} SIGHTGLASS_APP_REVISION=${REVISION}
LABEL org.opencontainers.image.title="sightglass" \
      org.opencontainers.image.version="${VERSION:-0.0.0+unknown}" \
      org.opencontainers.image.revision="${REVISION:-unknown}" \
      org.opencontainers.image.created="${CREATED}"
