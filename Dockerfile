# The command line and the service as one image, for linux/amd64 and linux/arm64; docs/deploy.md shows both.
# The digest is that of the index of all platforms: change it together with the tag.
FROM python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS base

FROM base AS build
WORKDIR /build
# Nothing is installed that script/lock did not see: versions and hashes are fixed, and nothing is compiled here.
COPY locks locks
RUN python -m venv builder \
    && builder/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r locks/build.txt \
    && python -m venv --without-pip /opt/reconciler \
    && pip --python /opt/reconciler/bin/python install --no-cache-dir --no-compile --require-hashes \
        --only-binary :all: -r locks/image.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY reconciler reconciler
RUN builder/bin/hatchling build --target wheel --directory dist \
    && pip --python /opt/reconciler/bin/python install --no-cache-dir --no-compile --no-deps --no-index dist/*.whl \
    && /opt/reconciler/bin/python -m compileall -q /opt/reconciler/lib

FROM base
ARG REVISION=""
LABEL org.opencontainers.image.title="reconciler" \
      org.opencontainers.image.description="Keeps the agents of Microsoft Foundry projects equal to the manifests in a Git repository." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13.15-slim-trixie"
# gpg verifies commits that are signed by OpenPGP keys; a number as the user lets Kubernetes see that it is not root.
# Only the state folder and /tmp are ever written. Group 0 may, too: OpenShift gives every pod a user of its own in it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gpg \
    && rm -rf /var/lib/apt/lists/* \
    && pip uninstall --yes pip \
    && groupadd --gid 10001 reconciler \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/reconciler --no-create-home reconciler \
    && install --directory --owner 10001 --group 0 --mode 0770 /var/lib/reconciler
COPY --from=build /opt/reconciler /opt/reconciler
# A mounted checkout belongs to whoever made it. Git's objects are only read here, and no hook ever runs.
RUN printf '[safe]\n\tdirectory = *\n' >/etc/gitconfig
ENV PATH=/opt/reconciler/bin:$PATH \
    HOME=/var/lib/reconciler \
    RECONCILER_CACHE=/var/lib/reconciler/cache \
    RECONCILER_SANDBOX_STATE=/var/lib/reconciler/sandbox.db \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /src
EXPOSE 8080
# Not by urllib, which would ask a proxy from the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["reconciler"]
CMD ["--help"]
