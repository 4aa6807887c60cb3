"""A private StockAlert on loopback: Postgres, Apache Kafka and the mesh, as children of this process.

What scripts/run, the end-to-end tests and the benchmarks share. All state is below one folder; secrets are made once and kept
there, readable by their owner only. Every child is told by the kernel to end when this process does, however that happens.
"""

import atexit
import fcntl
import hashlib
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
KAFKA_VERSION = "4.1.1"


class StackError(Exception):
    """Something could not be started or did not answer in time; the message says what to look at."""


# Ports of this process by number: the lock of a file each, which the kernel lets go when the process ends.
PORT_LOCKS = {}


def take_port(port: int) -> bool:
    """Whether it is this process's from now on: not yet its own, nobody's on this machine who asks here, too, and nobody listens on it."""
    folder = pathlib.Path(tempfile.gettempdir()) / f"stockalert-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if port in PORT_LOCKS:
        return False
    lock = (folder / str(port)).open("wb")
    with socket.socket() as probe:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            return False
    PORT_LOCKS[port] = lock
    return True


def free_port(offsets: Iterable[int] = (0,)) -> int:
    """A port from which each of `offsets` is free, and stays this process's, also while what listens there is down. Below the ephemeral range,
    so that no outgoing connection takes it meanwhile."""
    for _ in range(200):
        first = 20000 + secrets.randbelow(12000 - max(offsets))
        taken = []
        for offset in offsets:
            if not take_port(first + offset):
                break
            taken.append(first + offset)
        if len(taken) == len(offsets):
            return first
        for port in taken:
            PORT_LOCKS.pop(port).close()
    raise StackError("found no free ports between 20000 and 32000")


def wait_for(what: str, condition: Callable[[], object], timeout_s: float, process: "Process | None" = None, interval_s: float = 0.05) -> None:
    """Polls `condition` until it is true. Fails at once where `process` ends meanwhile."""
    deadline = time.monotonic() + timeout_s
    while True:
        if condition():
            return
        if process is not None and not process.alive():
            raise StackError(f"{process.name} ended while {what} was awaited (exit {process.returncode()}); its log: {process.log_path}\n"
                             + process.log_tail())
        if time.monotonic() > deadline:
            hint = f"; its log: {process.log_path}\n{process.log_tail()}" if process is not None else ""
            raise StackError(f"{what}: not within {timeout_s:.0f} s{hint}")
        time.sleep(interval_s)


def port_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def hold_port(port: int) -> socket.socket | None:
    """A socket that keeps outgoing connections off a port of loopback, and lets a server of ours listen there; None where it is taken."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
        return held
    except OSError:
        held.close()
        return None


def port_holder(port: int) -> str:
    """Who has a port of this machine, in words, as far as this process may see."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            local, state, inode = (line.split()[column] for column in (1, 3, 9))
            if int(local.rpartition(":")[2], 16) == port and inode != "0":
                found[f"socket:[{inode}]"] = "listens there" if state == "0A" else "has a connection from there"
    for file in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            does = found.get(os.readlink(file))
            if does:
                return f"process {file.parts[2]} ({(file.parents[1] / 'comm').read_text().strip()}) {does}"
        except OSError:
            continue
    return "another user's process has it" if found else "nobody who can be seen has it"


# Loopback needs no proxy, whatever the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_get(url: str) -> str:
    with _OPENER.open(url, timeout=2) as reply:
        return reply.read().decode()


def http_ok(url: str) -> bool:
    try:
        http_get(url)
        return True
    except OSError:
        return False


def stop_all(processes: Sequence["Process"]) -> list[str]:
    """Stops them side by side. Answers the names of those that had to be killed."""
    for process in processes:
        process.request_stop()
    return [process.name for process in processes if not process.stop(ask=False)]


def token(length: int) -> str:
    """Random characters of base64url."""
    return secrets.token_urlsafe(length)[:length]


class Process:
    """A child with a log of its own. Restartable."""

    def __init__(self, name: str, command: Sequence[object], log_path: pathlib.Path, env: dict[str, str] | None = None,
                 stop_signal: signal.Signals = signal.SIGTERM, user: str | None = None, grace_s: float = 15):
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = pathlib.Path(log_path)
        self.env = env
        self.stop_signal = stop_signal
        self.user = user
        self.grace_s = grace_s
        self.popen = None

    def start(self) -> None:
        """Starts it. From a thread that lives as long as this process: the kernel ends the child with the thread that made it."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        # setpriv execs the program in its own place. Postgres, which has children of its own, is asked to stop and not just killed.
        wrapper = ["setpriv"]
        if self.user:
            wrapper += [f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "--pdeathsig=INT"]
        else:
            wrapper += ["--pdeathsig=INT" if self.stop_signal == signal.SIGINT else "--pdeathsig=KILL"]
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(wrapper + self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                          start_new_session=True, cwd="/")

    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def returncode(self) -> int | None:
        return None if self.popen is None else self.popen.returncode

    def log_tail(self, lines: int = 12) -> str:
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def kill(self) -> None:
        """kill -9, and reaps it."""
        if self.alive():
            self.popen.kill()
        if self.popen is not None:
            self.popen.wait()

    def request_stop(self) -> None:
        if self.alive():
            self.popen.send_signal(self.stop_signal)

    def stop(self, ask: bool = True) -> bool:
        """Orderly, within grace_s; then kill -9. Answers whether it was orderly."""
        if ask:
            self.request_stop()
        if self.popen is None:
            return True
        try:
            self.popen.wait(self.grace_s)
            return True
        except subprocess.TimeoutExpired:
            self.kill()
            return False


def psql(url: str, sql: str, rows: str | None = None) -> list[list[str]]:
    """Rows of text. The password travels by the environment, where no list of processes shows it. `rows`: what COPY ... FROM STDIN reads."""
    parts = urllib.parse.urlsplit(url)
    # As in sslmode=verify-full&sslrootcert=...
    options = {f"PG{name.upper()}": value for name, value in urllib.parse.parse_qsl(parts.query)}
    env = dict(os.environ, **options, PGCONNECT_TIMEOUT="5", PGHOST=parts.hostname or "", PGPORT=str(parts.port or 5432), PGUSER=parts.username or "",
               PGPASSWORD=urllib.parse.unquote(parts.password or ""), PGDATABASE=parts.path.lstrip("/"))
    done = subprocess.run(["psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql], env=env,
                          input=rows, stdin=subprocess.DEVNULL if rows is None else None, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"psql: {done.stderr.strip()}")
    return [line.split("\t") for line in done.stdout.splitlines() if line]


def secret(path: pathlib.Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
    return path.read_text().strip()


class Postgres:
    """A private cluster of Debian's PostgreSQL: loopback only, password required, run by an unprivileged user. With an `authority`
    (certificates.py) it takes TLS alone, from clients with a certificate of that authority."""

    def __init__(self, folder: pathlib.Path, port: int, authority: Any = None, data: pathlib.Path | None = None):
        """`data`: where its files lie, elsewhere than in the folder; its user must be able to come there."""
        self.folder = pathlib.Path(folder)
        self.port = port
        self.authority = authority
        self.user = "postgres" if os.getuid() == 0 else None
        self.password = None
        candidates = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        if not candidates:
            raise StackError("PostgreSQL is not installed: apt-get install postgresql")
        self.bin = candidates[-1]
        self.data = pathlib.Path(data) if data else self.folder / "data"
        if self.user and not data and not self._reachable(self.folder):
            # The checkout is where only root may go: the cluster's files lie beside it, by the checkout's own name.
            tag = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
            self.data = pathlib.Path("/var/tmp") / f"stockalert-{tag}" / "data"
        self.process = Process("postgres", [self.bin / "postgres", "-D", self.data, "-p", port, "-c", "listen_addresses=127.0.0.1",
                                            "-c", "unix_socket_directories=", "-c", "max_connections=200",
                                            # A refused row's values (e-mail addresses) do not belong into a log.
                                            "-c", "log_error_verbosity=terse", "-c", "log_min_error_statement=panic"],
                               self.folder / "log" / "postgres.log", stop_signal=signal.SIGINT, user=self.user)
        if authority:
            files = self.data.parent / "tls"
            for setting, name in (("ssl", None), ("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key"), ("ssl_ca_file", "ca.crt")):
                self.process.command += ["-c", f"{setting}={files / name if name else 'on'}"]

    def _reachable(self, folder: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        check = subprocess.run(["runuser", "-u", self.user, "--", "test", "-x", folder], check=False)
        return check.returncode == 0

    def wipe(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)

    def start(self) -> None:
        self.password = secret(self.folder / "postgres.password")
        if not (self.data / "PG_VERSION").exists():
            self.wipe()
            self.data.mkdir(parents=True)
            password_file = self.data.parent / "initdb.password"
            with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(self.password)
            if self.user:
                account = pwd.getpwnam(self.user)
                os.chown(self.data, account.pw_uid, account.pw_gid)
                os.chown(password_file, account.pw_uid, account.pw_gid)
            command = [self.bin / "initdb", "-D", self.data, "-U", "stockalert", "-A", "scram-sha-256", f"--pwfile={password_file}",
                       "-E", "UTF8", "--locale=C"]
            if self.user:
                command = ["runuser", "-u", self.user, "--"] + command
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd="/")
            password_file.unlink()
            if done.returncode != 0:
                raise StackError(f"initdb failed: {done.stderr.strip()}")
        if self.authority:
            self._secure()
        if port_open(self.port):
            raise StackError(f"port {self.port} is taken, another Postgres or another run may be there: {port_holder(self.port)}")
        self.process.start()

    def _secure(self):
        self.authority.issue(self.data.parent / "tls")
        self.authority.issue(self.folder / "client-tls")
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n")
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown((self.data.parent / "tls").resolve(), account.pw_uid, account.pw_gid)
            for file in (self.data.parent / "tls").iterdir():
                os.chown(file, account.pw_uid, account.pw_gid)

    def await_ready(self) -> None:
        wait_for("Postgres", self.answers, 60, self.process)

    def answers(self) -> bool:
        done = subprocess.run([str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return done.returncode == 0

    @property
    def roles(self) -> pathlib.Path:
        """Where the passwords of the mesh's roles lie, a file each, for stockalert-migrate."""
        return self.folder / "roles"

    def role_url(self, key: str, database: str) -> str:
        """As the role of a service, of maintenance or of the audit (services/tools/migrate/roles.h)."""
        return self.url(database, f"stockalert_{key}", secret(self.roles / key))

    def url(self, database: str = "postgres", user: str = "stockalert", password: str | None = None) -> str:
        url = f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"
        if not self.authority:
            return f"{url}?sslmode=disable"
        files = self.folder / "client-tls"
        return f"{url}?sslmode=verify-full&sslrootcert={files}/ca.crt&sslcert={files}/tls.crt&sslkey={files}/tls.key"

    def query(self, sql: str, database: str = "postgres") -> list[list[str]]:
        return psql(self.url(database), sql)

    def create_database(self, name: str) -> None:
        if not self.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.query(f'CREATE DATABASE "{name}"')


class Kafka:
    """One node of Apache Kafka, broker and controller in one, on loopback. Its jars come from Maven Central, once a machine. With an
    `authority` (certificates.py) clients speak TLS and show a certificate of that authority, by whose common name the broker's authorizer knows
    what they may. A second listener asks for a login besides, by PLAIN: Kafka 4 refuses the SCRAM of librdkafka before 2.6.1, and Debian 12
    has 2.0.2."""

    USER = "stockalert-audit"

    def __init__(self, folder: pathlib.Path, port: int, controller_port: int, authority: Any = None):
        self.folder = pathlib.Path(folder)
        self.authority = authority
        self.password = None
        self.port = port
        self.controller_port = controller_port
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        self.jars = cache / "stockalert" / f"kafka-{KAFKA_VERSION}"
        self.login_port = free_port() if authority else None
        self.process = None

    def client_tls(self, key: str) -> pathlib.Path:
        """A client's files: a link, which certificates.swap moves on."""
        folder = self.folder / "client-tls" / key
        if not folder.exists():
            self.authority.issue(folder, subject=f"stockalert-{key}")
        return folder

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def fetch(self) -> None:
        """Brings the jars, where they are not there. Two at once do not meet: each fills a folder of its own."""
        if self.jars.is_dir():
            return
        if shutil.which("mvn") is None or shutil.which("java") is None:
            raise StackError("Apache Kafka needs Java and Maven: apt-get install openjdk-17-jre-headless maven")
        print(f"Fetching Apache Kafka {KAFKA_VERSION} (55 MB, once)", file=sys.stderr, flush=True)
        self.jars.parent.mkdir(parents=True, exist_ok=True)
        partial = self.jars.with_name(f"{self.jars.name}.{os.getpid()}")
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(ROOT / "scripts/lib/kafka/pom.xml"), "dependency:copy-dependencies",
                               f"-DoutputDirectory={partial}"], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not list(partial.glob("kafka_2.13-*.jar")):
            shutil.rmtree(partial, ignore_errors=True)
            raise StackError(f"Maven could not fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-800:]}")
        try:
            partial.rename(self.jars)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)

    def _java(self, *arguments: object):
        return ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true",
                f"-Dlog4j2.configurationFile={ROOT}/scripts/lib/kafka/log4j2.properties",
                "-cp", f"{self.jars}/*", *arguments]

    def wipe(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def start(self) -> None:
        self.fetch()
        for port in (self.port, self.controller_port):
            if port_open(port):
                raise StackError(f"port {port} is taken, another Kafka or another run may be there: {port_holder(port)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        listener = "SSL" if self.authority else "PLAINTEXT"
        login = f",SASL_SSL://127.0.0.1:{self.login_port}" if self.authority else ""
        properties.touch(mode=0o600)
        properties.write_text("\n".join((self._secured() if self.authority else []) + [
            "process.roles=broker,controller",
            "node.id=1",
            f"listeners={listener}://127.0.0.1:{self.port}{login},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners={listener}://127.0.0.1:{self.port}{login}",
            "controller.listener.names=CONTROLLER",
            f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}",
            f"log.dirs={self.folder}/data",
            "auto.create.topics.enable=false",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=8",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "unclean.leader.election.enable=false",
            ""]))
        if not (self.folder / "data" / "meta.properties").exists():
            cluster_id = secret(self.folder / "cluster.id", lambda: "S" + secrets.token_urlsafe(16)[1:])
            done = subprocess.run(self._java("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)),
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise StackError(f"Kafka's storage could not be formatted: {(done.stdout + done.stderr).strip()[-800:]}")
        self.process = Process("kafka", self._java("kafka.Kafka", str(properties)), self.folder / "log" / "kafka.log", grace_s=30)
        self.process.start()

    def _secured(self):
        self.password = secret(self.folder / "kafka.password")
        files = self.folder / "tls"
        # At each start anew; the clients' certificates stay until somebody swaps them.
        self.authority.issue(files, subject="stockalert-broker")
        with os.fdopen(os.open(files / "keystore.pem", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write((files / "tls.key").read_text() + (files / "tls.crt").read_text())
        login = (f'org.apache.kafka.common.security.plain.PlainLoginModule required username="{self.USER}" password="{self.password}" '
                 f'user_{self.USER}="{self.password}";')
        return ["listener.security.protocol.map=CONTROLLER:SSL,SSL:SSL,SASL_SSL:SASL_SSL", "inter.broker.listener.name=SSL",
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # Who makes the ACLs has to be allowed it by another way.
                "super.users=User:stockalert-broker;User:stockalert-migrate",
                "ssl.principal.mapping.rules=RULE:^CN=([a-z-]+)$/$1/,DEFAULT", "ssl.client.auth=required",
                "sasl.enabled.mechanisms=PLAIN", f"listener.name.sasl_ssl.plain.sasl.jaas.config={login}",
                # Without the listener's name it would not count for SASL_SSL.
                "listener.name.sasl_ssl.ssl.client.auth=required",
                "ssl.keystore.type=PEM", f"ssl.keystore.location={files}/keystore.pem",
                "ssl.truststore.type=PEM", f"ssl.truststore.location={files}/ca.crt"]

    def client_env(self, key: str) -> dict[str, Any]:
        """The flags' environment of a client of this broker: a service, or the tools migrate and audit."""
        if not self.authority:
            return {"KAFKA_PLAINTEXT": "true"}
        files = self.client_tls(key)
        return {"KAFKA_TLS": "true", "KAFKA_TLS_CA_FILE": files / "ca.crt", "KAFKA_TLS_CERT_FILE": files / "tls.crt",
                "KAFKA_TLS_KEY_FILE": files / "tls.key"}

    def login_env(self) -> dict[str, Any]:
        """Of one that logs in: the audit's, by name and password besides a certificate."""
        return {**self.client_env("audit"), "KAFKA_BOOTSTRAP": f"127.0.0.1:{self.login_port}", "KAFKA_SASL_MECHANISM": "PLAIN",
                "KAFKA_SASL_USERNAME": self.USER, "KAFKA_SASL_PASSWORD": self.password}

    def await_ready(self) -> None:
        wait_for("Kafka", self.answers, 60, self.process)

    def answers(self) -> bool:
        return port_open(self.port)

    def wipe_identity(self) -> None:
        self.wipe()
        (self.folder / "cluster.id").unlink(missing_ok=True)


class Lock:
    """One run a folder: the second is told so."""

    def __init__(self, folder: pathlib.Path):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = open(folder / "lock", "w", encoding="ascii")  # noqa: SIM115 # Held as long as this is.
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another run uses {folder}: end it first (Ctrl-C there)") from None


def run_at_exit(stop: Callable[[], object]) -> None:
    """Calls `stop` once, whether the program ends by itself, by Ctrl-C or by a signal. A second signal meanwhile ends it at once; the
    kernel then ends the children."""
    def on_signal(signum: int, _frame: object) -> None:
        signal.signal(signum, lambda number, _frame: os._exit(128 + number))
        raise SystemExit(128 + signum)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    atexit.register(stop)
