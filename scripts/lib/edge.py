"""The edge as a child process: Debian's HAProxy with docker/edge's configuration, in front of a mesh's public ports, on loopback.

    edge = Edge(mesh, folder, first_port)       # clients call edge.address("user")
    edge.start()
    edge.stop()

Without TLS where the mesh has none; else with TLS to clients, by certificates in edge.tls_folder, and to the services, which it verifies.
"""

import os
import pathlib
import resource
from typing import Any

import client
import mesh as meshes
import stack

CONFIG = stack.ROOT / "docker" / "edge"
# In the order of the product's ports, 50051 to 50054.
SERVICES = ("user", "ticker", "alert", "notifier")


class Edge:
    def __init__(self, mesh: meshes.Mesh, folder: pathlib.Path, first_port: int, settings: dict[str, object] | None = None):
        self.mesh = mesh
        self.folder = pathlib.Path(folder)
        self.first_port = first_port
        self.settings = {name: str(value) for name, value in (settings or {}).items()}
        self.tls_folder = self.folder / "tls"
        self.process = None

    def address(self, service: str) -> str:
        return f"127.0.0.1:{self.first_port + SERVICES.index(service)}"

    @property
    def http_address(self) -> str:
        return f"127.0.0.1:{self.first_port + len(SERVICES)}"

    @property
    def pages_address(self) -> str:
        """Of the pages that unsubscribe, where the settings have EDGE_UNSUBSCRIBE_BACKEND."""
        return f"127.0.0.1:{self.first_port + len(SERVICES) + 1}"

    def _env(self):
        env = {"EDGE_LISTEN_V4": "127.0.0.1", "EDGE_BACKENDS_MAX": "1", "EDGE_HTTP_PORT": self.http_address.split(":")[1],
               "EDGE_UNSUBSCRIBE_PORT": self.pages_address.split(":")[1], "EDGE_RUN_DIR": str(self.folder), "EDGE_CONFIG_DIR": str(CONFIG)}
        for service in SERVICES:
            env[f"EDGE_{service.upper()}_PORT"] = self.address(service).split(":")[1]
            env[f"EDGE_{service.upper()}_BACKEND"] = self.mesh.address(service)
        if self.mesh.authority:
            if not self.tls_folder.exists():
                self.mesh.authority.issue(self.tls_folder)
            env.update({"EDGE_TLS_CERT_FILE": str(self.tls_folder / "tls.crt"), "EDGE_BACKEND_CA_FILE": str(self.tls_folder / "ca.crt"),
                        **{f"EDGE_{service.upper()}_NAME": "localhost" for service in SERVICES}})
        # As many as the machine lets it have.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY:
            env["EDGE_OPEN_FILES"] = str(min(16384, hard))
        keep = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
        return {**keep, **env, **self.settings}

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = stack.Process("edge", ["haproxy", "-W", "-S", str(self.folder / "master.sock"), "-f", str(CONFIG / "haproxy.cfg")],
                                     self.folder / "edge.log", env=self._env())
        self.process.start()
        stack.wait_for("the edge", lambda: stack.http_ok(f"http://{self.http_address}/healthz"), 20, self.process)
        # A backend is up once it has answered a check.
        stack.wait_for("the edge's way to the services", self.all_up, 20, self.process)

    def all_up(self) -> bool:
        metrics = self.metrics()
        ways = [f"{service}_calls" for service in SERVICES] + ["ticker_streams", "notifier_streams"]
        return all(metrics.get(f'haproxy_backend_active_servers{{proxy="{way}"}}') == 1 for way in ways)

    def metrics(self, path: str = "/metrics") -> dict[str, float]:
        result = {}
        for line in stack.http_get(f"http://{self.http_address}{path}").splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                result[series] = float(value)
        return result

    def refused(self, cause: str) -> int:
        """How many calls it refused for a cause: rate, calls, key, size, unknown."""
        return int(self.metrics().get(f'haproxy_backend_http_requests_total{{proxy="refused_{cause}"}}', 0))

    def client(self, **options: Any) -> client.Client:
        ca = (self.tls_folder / "ca.crt").read_bytes() if self.mesh.authority else None
        return client.Client({service: self.address(service) for service in SERVICES}, ca=ca, **options)

    def pid(self) -> int:
        """Of the process that does the work; the master only minds it."""
        children = pathlib.Path(f"/proc/{self.process.popen.pid}/task/{self.process.popen.pid}/children").read_text().split()
        return int(children[-1])

    def stop(self) -> list[str]:
        return stack.stop_all([self.process]) if self.process else []


def free_first_port() -> int:
    """A first port from which the edge's ports are free."""
    return stack.free_port(range(len(SERVICES) + 2))
