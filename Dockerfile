# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/tiltyard
ENV PATH=/opt/tiltyard/bin:$PATH
WORKDIR /build
COPY . .
RUN pip install --constraint constraints.txt .

FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/tiltyard --create-home tiltyard
COPY --from=build /opt/tiltyard /opt/tiltyard
ENV PATH=/opt/tiltyard/bin:$PATH PYTHONUNBUFFERED=1 TILTYARD_HOME=/var/lib/tiltyard MPLCONFIGDIR=/tmp/matplotlib
USER tiltyard
WORKDIR /var/lib/tiltyard
VOLUME /var/lib/tiltyard
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
ENTRYPOINT ["tini", "--"]
# Beyond loopback the server starts only with an admin token:
# docker run -p 8080:8080 -v ./admin-token:/run/secrets/admin-token:ro -e TILTYARD_ADMIN_TOKEN_FILE=/run/secrets/admin-token tiltyard
CMD ["tiltyard", "serve", "--host", "0.0.0.0", "--port", "8080"]
