# The service alone: no compiler, no pip, no embedded database, no root. compose.yaml puts a PostgreSQL beside it.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /srv
COPY requirements-server.txt ./
RUN python -m venv /opt/venv && \
    /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-server.txt && \
    /opt/venv/bin/pip uninstall --quiet --yes pip setuptools
COPY alembic.ini ./
COPY app ./app
COPY migrations ./migrations
RUN python -m compileall -q app migrations

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Auth + Tasks API" org.opencontainers.image.licenses="MIT"
LABEL org.opencontainers.image.version="1.1.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
ENV ENVIRONMENT=production HOST=0.0.0.0 PORT=8000
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv /srv
USER 10001:10001
EXPOSE 8000
# Alive, not ready: a container that is replaced because its database is away helps nobody.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=2)"]
CMD ["python", "-m", "app", "serve"]
