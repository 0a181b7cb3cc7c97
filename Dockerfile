# The command line as an image: docker run -v "$PWD:/src:ro" reconciler plan /src
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY reconciler reconciler
RUN python -m venv /opt/reconciler \
    && /opt/reconciler/bin/pip install --no-cache-dir --no-compile . \
    && /opt/reconciler/bin/python -m compileall -q /opt/reconciler/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="reconciler" \
      org.opencontainers.image.description="Keeps the agents of Microsoft Foundry projects equal to the manifests in a Git repository." \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/reconciler /opt/reconciler
# A mounted checkout belongs to whoever made it. Git's objects are only read here, and no hook ever runs.
RUN printf '[safe]\n\tdirectory = *\n' >/etc/gitconfig
# A number, so that Kubernetes can tell that it is not root. The home holds the cache of Git repositories.
RUN useradd --uid 10001 --user-group --create-home reconciler
USER 10001:10001
ENV PATH=/opt/reconciler/bin:$PATH \
    HOME=/home/reconciler \
    PYTHONUNBUFFERED=1
WORKDIR /src
ENTRYPOINT ["reconciler"]
CMD ["--help"]
