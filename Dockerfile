# Tocsin's command line and workers. One image for every role: the command says which.
# Made in two stages, so that pip and what builds the package stay behind.

FROM python:3.11.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /venv

# Every dependency with its hash; a layer of its own, because it changes least.
COPY requirements-runtime.lock ./
RUN /venv/bin/pip install --no-deps --require-hashes -r requirements-runtime.lock

# Our own package; only what builds it (setuptools) comes from outside the lock, and stays in this stage.
COPY pyproject.toml README.md ./
COPY models ./models
COPY pipeline ./pipeline
RUN /venv/bin/pip install --no-deps .


FROM python:3.11.13-slim-bookworm

RUN groupadd --system --gid 10001 tocsin \
 && useradd --system --uid 10001 --gid tocsin --home-dir /app --no-create-home tocsin
COPY --from=build /venv /venv
COPY config /app/config

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TOCSIN_CONFIG=/app/config \
    TOCSIN_WEB_BIND=0.0.0.0 \
    TOCSIN_WEB_PORT=6067
WORKDIR /app
USER 10001:10001
EXPOSE 6067
STOPSIGNAL SIGTERM
ENTRYPOINT ["tocsin"]
CMD ["worker", "--role", "all"]
