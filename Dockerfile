# syntax=docker/dockerfile:1
# Rota's API, worker and commands in one image, with PowerShell 7 for PowerShell steps.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY . .
# The lock as constraints: exact versions, checked by hash, of what runs here and nothing that only development needs.
RUN python -m venv /opt/rota/venv \
 && uv pip install --no-cache --python /opt/rota/venv/bin/python \
      --constraint requirements.lock --build-constraint requirements.lock '.[postgres,mysql,mssql]' \
 && cp --recursive /opt/rota/venv/lib/python3.*/site-packages/tzdata/zoneinfo /opt/rota/zoneinfo

FROM debian:bookworm-slim AS powershell
ARG POWERSHELL_VERSION=7.6.6
ARG TARGETARCH=amd64
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl
WORKDIR /download
RUN case "$TARGETARCH" in amd64) arch=x64 ;; *) arch="$TARGETARCH" ;; esac \
 && from="https://github.com/PowerShell/PowerShell/releases/download/v$POWERSHELL_VERSION" \
 && archive="powershell-$POWERSHELL_VERSION-linux-$arch.tar.gz" \
 && curl --fail --silent --show-error --location --remote-name "$from/$archive" --remote-name "$from/hashes.sha256" \
 && tr -d '\r\357\273\277' < hashes.sha256 | grep --fixed-strings "$archive" | sha256sum --check - \
 && mkdir --parents /opt/powershell && tar --extract --gzip --file "$archive" --directory /opt/powershell \
 && chmod +x /opt/powershell/pwsh

FROM ${PYTHON_IMAGE}
# ICU and Kerberos are what PowerShell itself loads.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libicu72 libgssapi-krb5-2 \
 && rm --recursive --force /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home rota
COPY --from=powershell /opt/powershell /opt/powershell
COPY --from=build /opt/rota /opt/rota
ENV PATH=/opt/rota/venv/bin:/opt/powershell:$PATH \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    ROTA_DATA_DIR=/home/rota/.rota
USER rota
WORKDIR /home/rota
CMD ["rota", "--help"]
