"""Ports that are taken: each service takes its own before it connects to anything, waits for one that is taken, and says in the end who has it."""

import json
import os
import pathlib
import socket
import threading

from harness import await_true, expect, expect_equal, meshes, stack

# This process, as a service calls who has its port.
OWN = f"process {os.getpid()} ({pathlib.Path('/proc/self/comm').read_text().strip()})"


class Stores:
    """Takes the place of Postgres and Kafka: whoever connects is counted, and waits for an answer for ever."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", stack.free_port()))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                self.connections.append(self.listener.accept()[0])
        except OSError:
            return

    def close(self):
        # Wakes the thread, which a mere close would leave waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        for connection in [self.listener, *self.connections]:
            connection.close()


def processes(world, name, stores):
    """A process for each port of a mesh that has no stores: (service, port's kind, number of the port, process)."""
    made = []
    for service, (_, kinds) in meshes.SERVICES.items():
        for kind in kinds:
            folder = world.folder / name / f"{service}-{kind}"
            folder.mkdir(parents=True)
            mesh = meshes.Mesh(folder, meshes.free_first_port(), f"postgresql://nobody@{stores.address}/stockalert?sslmode=disable", stores.address)
            mesh.prepare_secrets()
            process = stack.Process(f"{service}, {kind}", [meshes.binary(f"stockalert-{service}")], folder / "log", env=mesh.service_env(service))
            made.append((service, kind, mesh.port(service, kind), process))
    return made


def taken_for_good(world):
    stores = Stores()
    made = processes(world, "taken-for-good", stores)
    others = [socket.create_server(("127.0.0.1", port)) for _, _, port, _ in made]
    try:
        for *_, process in made:
            process.start()
        problems = []
        for _, _, port, process in made:
            await_true(f"the end of {process.name}", lambda process=process: not process.alive(), 30)
            lines = [json.loads(line) for line in process.log_path.read_text().splitlines()]
            errors = [line["fields"]["error"] for line in lines if line["message"] == "cannot start"]
            if process.returncode() != 1 or len(errors) != 1 or f"127.0.0.1:{port} " not in errors[0] or f"{OWN} listens there" not in errors[0]:
                problems.append(f"{process.name} ended with {process.returncode()}: {errors}\n{process.log_tail(4)}")
        expect(not problems, "\n".join(problems))
        expect_equal(len(stores.connections), 0, "connections that were opened before all ports were there")
    finally:
        for *_, process in made:
            process.kill()
        for other in others:
            other.close()
        stores.close()


def taken_for_a_while(world):
    """By what takes them in practice: the near end of somebody's connection."""
    stores = Stores()
    made = processes(world, "taken-for-a-while", stores)
    connections = [socket.create_connection(stores.listener.getsockname(), source_address=("127.0.0.1", port)) for _, _, port, _ in made]
    own = len(connections)
    try:
        await_true("the connections that are in the way", lambda: len(stores.connections) == own, 10)
        for *_, process in made:
            process.start()
        for *_, process in made:
            await_true(f"{process.name} tells of the port", lambda process=process: "has a connection from there to" in process.log_path.read_text(), 20)
        expect_equal(len(stores.connections), own, "connections that were opened before all ports were there")
        for connection in connections:
            # By a reset, so that the port is free at once.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        await_true("each goes on to its stores", lambda: len(stores.connections) >= own + len(made), 20)
        for *_, process in made:
            expect(process.alive(), f"{process.name} ended:\n{process.log_tail(4)}")
    finally:
        for *_, process in made:
            process.kill()
        stores.close()


def run_says_who(world):
    """scripts/lib/mesh.py before it starts anything: so that no port of a service is lent to Kafka's or Postgres' clients."""
    first_port = meshes.free_first_port()
    mesh = meshes.Mesh(world.folder / "held", first_port, "postgresql://nobody@127.0.0.1:1/x", "127.0.0.1:1")
    with socket.create_server(("127.0.0.1", first_port + 3)):
        taken = stack.port_holder(first_port + 3)
        expect_equal(taken, f"{OWN} listens there", "who has the port")
    mesh.hold_ports()
    try:
        with socket.socket() as outgoing:
            try:
                outgoing.bind(("127.0.0.1", first_port))
                raise AssertionError("a held port is lent")
            except OSError:
                pass
        expect(not stack.port_open(first_port), "who connects to a held port is not refused")
    finally:
        mesh.stop()
    with socket.create_server(("127.0.0.1", first_port)):
        pass


CASES = [
    ("ports taken for good", taken_for_good),
    ("ports taken for a while", taken_for_a_while),
    ("ports held by scripts/run", run_says_who),
]
