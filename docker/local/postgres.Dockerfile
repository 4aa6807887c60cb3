# PostgreSQL 15 of Debian's package, for places without a registry. What compose.yaml needs of the official image: the same variables, the
# same folder of data, the same way to pass settings.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN <<'END'
set -eu
# The official image's number, so that a volume can go from one to the other.
groupadd -r -g 999 postgres
useradd -r -g postgres -u 999 -d /var/lib/postgresql -s /usr/sbin/nologin postgres
apt-get update
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-15
rm -rf /var/lib/apt/lists/*
install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data
install -d -o postgres -g postgres -m 775 /var/run/postgresql
END
COPY --chmod=755 postgres-entrypoint /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
USER postgres
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entrypoint"]
CMD ["postgres"]
