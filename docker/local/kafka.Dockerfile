# One node of Apache Kafka on Debian's Java, for places without a registry; jars and log settings come as build contexts (scripts/images). What
# compose.yaml needs of the official image: the same variables, the same folder of data, the same program to start.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
RUN <<'END'
set -eu
# Java's packages want the folder of manual pages.
mkdir -p /usr/share/man/man1
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openjdk-17-jre-headless
rm -rf /var/lib/apt/lists/*
# The official image's number, so that a volume can go from one to the other.
useradd -u 1000 -U -d /opt/kafka -s /usr/sbin/nologin appuser
install -d -o appuser -g appuser /var/lib/kafka/data /opt/kafka/config
END
COPY --from=jars . /opt/kafka/libs/
COPY --from=settings log4j2.properties /opt/kafka/
COPY --chmod=755 kafka-run /etc/kafka/docker/run
USER appuser
VOLUME /var/lib/kafka/data
EXPOSE 9092
CMD ["/etc/kafka/docker/run"]
