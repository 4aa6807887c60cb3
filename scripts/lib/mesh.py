"""The mesh as child processes: Postgres, Kafka, the migration and the six services, on loopback.

    mesh = Mesh(folder)                # on the product's own ports; first_port=N: on others
    mesh.start(fetcher={"SOURCE": "publish"})
    mesh.client.call("user", "GetUser", {"name": "users/me"}, key)
    mesh.stop()

The services get their configuration by the environment, each only what is its own: the administrator's key goes to the user service alone.
"""

import base64
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable

import certificates
import client
import stack

# The order in which they start; they stop in the reverse one. Of each: the place of its ports from the first one on, and which it has. Those with
# public ports come first: these lie among the ports that the system lends to outgoing connections, of which the others then have none yet.
SERVICES = {
    "user": (0, ("public", "http", "internal")),
    "ticker": (1, ("public", "http", "internal")),
    "alert": (2, ("public", "http", "internal")),
    "notifier": (3, ("public", "http", "internal")),
    "fetcher": (4, ("http", "internal")),
    "evaluator": (5, ("http", "internal")),
}
# The product's own first ports of each kind.
FIRST_PORTS = {"public": 50051, "http": 11051, "internal": 12051}
# What has a role of its own in the database (services/tools/migrate/roles.h).
ROLES = ("user", "ticker", "alert", "evaluator", "notifier", "maintenance", "audit")
# Where the kinds begin, from another first port on.
SPAN = {"public": 0, "http": 1000, "internal": 2000}


def build_folder(preset: str | None = None) -> pathlib.Path:
    """Where the preset is built."""
    return stack.ROOT / "build" / (preset or os.environ.get("STOCKALERT_PRESET") or "dev")


def binary(name: str, preset: str | None = None) -> pathlib.Path:
    """Where the build put a program."""
    build = build_folder(preset)
    found = [path for path in build.glob(f"services/**/{name}") if path.is_file()]
    if not found:
        raise stack.StackError(f"{name} has not been built in {build}: scripts/lib/build.sh {build.name} {name}")
    # A build tree keeps what it made before a folder was moved.
    return max(found, key=lambda path: path.stat().st_mtime)


def free_first_port() -> int:
    """A first port from which all ports of a mesh are free."""
    return stack.free_port([place + SPAN[kind] for place, kinds in SERVICES.values() for kind in kinds])


class Mesh:
    def __init__(self, folder: pathlib.Path, first_port: int | None = None, postgres_url: str | None = None, kafka_bootstrap: str | None = None,
                 say: Callable[[str], None] = lambda text: None, env: dict[str, str] | None = None, prices_partitions: int | None = None,
                 tls: bool = False):
        self.folder = pathlib.Path(folder)
        self.first_ports = FIRST_PORTS if first_port is None else {kind: first_port + span for kind, span in SPAN.items()}
        self.held_ports = {}
        self.say = say
        self.extra_env = env or {}
        self.prices_partitions = prices_partitions
        # TLS everywhere, by an authority made for this mesh; else plaintext.
        self.authority = certificates.Authority("a private mesh") if tls else None
        self.postgres = None if postgres_url else stack.Postgres(self.folder, stack.free_port(), self.authority)
        self.kafka = None if kafka_bootstrap else stack.Kafka(self.folder / "kafka", stack.free_port(), stack.free_port(), self.authority)
        self.postgres_url = postgres_url
        self.kafka_bootstrap = kafka_bootstrap or self.kafka.bootstrap
        self.services = {}
        self.fetcher_settings = {}
        self.client = None
        self.admin_key = None
        # What each service shows the others; they know its SHA-256.
        self.caller_tokens = {}

    # --- where things are

    def port(self, service: str, kind: str) -> int:
        return self.first_ports[kind] + SERVICES[service][0]

    def address(self, service: str, kind: str = "public") -> str:
        return f"127.0.0.1:{self.port(service, kind)}"

    def operator_env(self) -> dict[str, str]:
        """What the operator's tools need to reach this mesh; holds secrets."""
        env = {
            "STOCKALERT_POSTGRES_URL": self.postgres_url,
            "STOCKALERT_AUDIT_POSTGRES_URL": self._role_url("audit"),
            "STOCKALERT_MAINTENANCE_POSTGRES_URL": self._role_url("maintenance"),
            "STOCKALERT_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "STOCKALERT_ADMIN_KEY": self.admin_key,
        }
        for name, (_, kinds) in SERVICES.items():
            if "public" in kinds:
                env[f"STOCKALERT_{name.upper()}_ADDRESS"] = self.address(name)
        env.update({f"STOCKALERT_{name}": str(value) for name, value in self._kafka_env("audit").items()})
        if self.authority:
            env["STOCKALERT_CA_FILE"] = str(self.tls_folder("user") / "ca.crt")
        return env

    @staticmethod
    def certificate_names(service: str) -> tuple[str, ...]:
        """Where it is dialled, and what the others know it by."""
        return ("DNS:localhost", "IP:127.0.0.1", f"DNS:{service}")

    def _role_url(self, key: str):
        """The database as a role of its own sees it; that of others has one role for all, as it is given."""
        return self.postgres.role_url(key, "stockalert") if self.postgres else self.postgres_url

    def write_callers(self, *earlier: dict[str, str]) -> None:
        """What the services know each other by, besides their present tokens those `earlier` (caller, token) ones. Replaced as a whole."""
        lines = [f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n" for name, token in [*self.caller_tokens.items(), *earlier]]
        fresh = self.folder / "mesh_callers.new"
        fresh.write_text("".join(lines))
        fresh.rename(self.folder / "mesh_callers")

    def tls_folder(self, service: str) -> pathlib.Path:
        """Where a service's certificate lies: a link, which certificates.swap moves on."""
        return self.folder / "tls" / service

    def _kafka_env(self, key: str):
        return self.kafka.client_env(key) if self.kafka else {"KAFKA_PLAINTEXT": "true"}

    def _tls_env(self, service: str):
        if service == "migrate":
            return {}  # No gRPC.
        if not self.authority:
            return {"PLAINTEXT": "true"}
        files = self.tls_folder(service)
        if not files.exists():
            self.authority.issue(files, names=self.certificate_names(service))
        pairs = ["INTERNAL"] + (["PUBLIC"] if "public" in SERVICES[service][1] else [])
        env = {f"{pair}_TLS_{kind}_FILE": files / name for pair in pairs for kind, name in (("CERT", "tls.crt"), ("KEY", "tls.key"))}
        return {**env, "INTERNAL_TLS_CA_FILE": files / "ca.crt"}

    def service_env(self, service: str) -> dict[str, str]:
        """The environment of a service, or of stockalert-migrate; holds secrets."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("STOCKALERT_", "FINNHUB_"))}
        env = {
            "POSTGRES_URL": self.postgres_url if service in ("migrate", "fetcher") else self._role_url(service),
            "KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "MESH_CALLER_TOKEN": self.caller_tokens.get(service),
            "MESH_CALLERS_FILE": self.folder / "mesh_callers",
            "SHUTDOWN_GRACE_S": "8",
            **self._tls_env(service),
            **self._kafka_env(service),
        }
        if service == "fetcher":
            del env["POSTGRES_URL"]
        if service == "migrate" and self.postgres:
            env.update(POSTGRES_ROLES="required", POSTGRES_ROLE_PASSWORDS_DIR=self.postgres.roles, POSTGRES_OWN_CLUSTER="true")
        if service == "migrate" and self.authority:
            env["KAFKA_ACLS"] = "required"
        if service == "user":
            env["ADMIN_KEY"] = self.admin_key
        if service == "notifier":
            # Whoever takes webhooks of a private mesh is on this machine, too, and has no certificate.
            env.update(DELIVERY_KEYS_FILE=self.folder / "delivery_keys", EGRESS_ALLOW="127.0.0.0/8", EGRESS_ALLOW_HTTP="true")
        if service in SERVICES:
            for kind in SERVICES[service][1]:
                env[f"{kind.upper()}_ADDRESS"] = self.address(service, kind)
        for other in ("user", "ticker", "fetcher", "alert", "notifier", "evaluator"):
            if other != service:
                env[f"{other.upper()}_ADDRESS"] = self.address(other, "internal")
        if service == "fetcher":
            env.update(self.fetcher_settings)
        env.update(self.extra_env.get(service, {}))
        result = {**keep, **{f"STOCKALERT_{name}": str(value) for name, value in env.items() if value is not None}}
        if service == "fetcher":
            result.update({name: value for name, value in os.environ.items() if name.startswith("FINNHUB_")})
        return result

    # --- start and stop

    def start(self, fetcher: dict[str, object]) -> None:
        self.fetcher_settings = fetcher
        self.folder.mkdir(parents=True, exist_ok=True)
        # The log below may be read by all, the secrets by their owner alone; Postgres' user must come through.
        self.folder.chmod(0o755)
        self.prepare_secrets()
        self.hold_ports()
        self.start_stores()
        self.migrate()
        for name in SERVICES:
            self.services[name] = stack.Process(name, [binary(f"stockalert-{name}")], self.folder / "log" / f"{name}.log", env=self.service_env(name))
        self.say("starting the services")
        for name in SERVICES:
            self.services[name].start()
        self.await_ready()
        ca = (self.tls_folder("user") / "ca.crt").read_bytes() if self.authority else None
        self.client = client.Client({name: self.address(name) for name in client.PORTS}, ca=ca)
        env_file = self.folder / "env"
        descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            for name, value in self.operator_env().items():
                file.write(f"export {name}='{value}'\n")

    def prepare_secrets(self) -> None:
        self.admin_key = stack.secret(self.folder / "admin_key", lambda: "sak_" + stack.token(43))
        stack.secret(self.folder / "delivery_keys", lambda: "k1 " + base64.b64encode(secrets.token_bytes(32)).decode())
        self.caller_tokens = {name: stack.secret(self.folder / "callers" / name) for name in SERVICES}
        self.write_callers()

    def start_stores(self) -> None:
        if self.kafka:
            self.kafka.fetch()
        if self.postgres or self.kafka:
            self.say("starting " + " and ".join(name for name, part in (("PostgreSQL", self.postgres), ("Apache Kafka", self.kafka)) if part))
        if self.kafka:
            self.kafka.start()
        if self.postgres:
            self.postgres.start()
            self.postgres.await_ready()
            self.postgres.create_database("stockalert")
            self.postgres_url = self.postgres.url("stockalert")
            for key in ROLES:
                stack.secret(self.postgres.roles / key)
        if self.kafka:
            self.kafka.await_ready()

    def migrate(self) -> None:
        self.say("bringing schema and topics up to date")
        command = [str(binary("stockalert-migrate"))]
        if self.prices_partitions:
            command += [f"--prices_partitions={self.prices_partitions}"]
        log = self.folder / "log" / "migrate.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as out:
            done = subprocess.run(["setpriv", "--pdeathsig=KILL"] + command, env=self.service_env("migrate"), stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, check=False, start_new_session=True)
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise stack.StackError(f"stockalert-migrate failed (exit {done.returncode}); its log: {log}\n{tail}")

    def hold_ports(self) -> None:
        """Takes the services' ports before anything of the mesh connects anywhere, and keeps them: no outgoing connection gets one, also while
        its service is down. Who connects is refused until the service listens, which binds them besides."""
        ports = [self.port(name, kind) for name, (_, kinds) in SERVICES.items() for kind in kinds]
        told = False
        deadline = time.monotonic() + 20
        while True:
            for port in ports:
                if port not in self.held_ports and (held := stack.hold_port(port)):
                    self.held_ports[port] = held
            taken = [port for port in ports if port not in self.held_ports]
            if not taken:
                return
            who = "; ".join(f"{port}: {stack.port_holder(port)}" for port in taken)
            if time.monotonic() > deadline:
                raise stack.StackError(f"ports are taken ({who}): end what has them, or choose others with --first-port")
            if not told:
                self.say(f"waiting for ports that are taken ({who})")
                told = True
            time.sleep(0.25)

    def ready(self, name: str) -> bool:
        return stack.http_ok(f"http://{self.address(name, 'http')}/readyz")

    def await_ready(self, names: Iterable[str] | None = None, timeout_s: float = 60) -> None:
        for name in names or SERVICES:
            stack.wait_for(f"the {name} service's readiness", lambda n=name: self.ready(n), timeout_s, self.services[name])

    def restart(self, name: str, fetcher: dict[str, object] | None = None, wait: bool = True) -> None:
        """Stops a service in order, where it runs, and starts it again, the fetcher with new settings if given."""
        if fetcher is not None:
            self.fetcher_settings = fetcher
            self.services["fetcher"].env = self.service_env("fetcher")
        self.services[name].stop()
        self.services[name].start()
        if wait:
            self.await_ready([name])

    def processes(self) -> list[stack.Process]:
        stores = [part.process for part in (self.postgres, self.kafka) if part is not None and part.process is not None]
        return stores + list(self.services.values())

    def stop(self) -> list[str]:
        """Everything, in order. Answers the names of those that had to be killed."""
        if self.client is not None:
            self.client.close()
            self.client = None
        killed = stack.stop_all(list(reversed(list(self.services.values()))))
        killed += stack.stop_all([part.process for part in (self.kafka, self.postgres) if part is not None and part.process is not None])
        for held in self.held_ports.values():
            held.close()
        self.held_ports = {}
        return killed

    def query(self, sql: str) -> list[list[str]]:
        """Rows of text from the mesh's database."""
        return stack.psql(self.postgres_url, sql)

    def metrics(self, name: str) -> dict[str, float]:
        """A service's metrics as {series: value}."""
        result = {}
        for line in stack.http_get(f"http://{self.address(name, 'http')}/metrics").splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                result[series] = float(value)
        return result


class Supervisor:
    """Starts again what dies, a bounded number of times a process. Its check is called by the thread that started the mesh."""

    RESTARTS_MAX = 5

    def __init__(self, mesh: Mesh, say: Callable[[str], None]):
        self.mesh = mesh
        self.say = say
        self.restarts = {}

    def check(self) -> None:
        for process in self.mesh.processes():
            if process.alive():
                continue
            code = process.returncode()
            count = self.restarts[process.name] = self.restarts.get(process.name, 0) + 1
            if count > self.RESTARTS_MAX:
                raise stack.StackError(f"{process.name} ended {count} times (exit {code}); its log: {process.log_path}\n{process.log_tail()}")
            self.say(f"{process.name} ended (exit {code}): starting it again ({count} of {self.RESTARTS_MAX})")
            process.start()


def write_json(path: pathlib.Path, value: object) -> None:
    """A file that only its owner reads, replaced as a whole."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
    temporary.rename(path)
