"""Two things away at once while the evaluator has commits that wait: when both are back all is live within half a minute, and the audit
agrees. A case for each way in which the group can be lost meanwhile, and each order in which the two come back."""

import os
import signal
import time
import urllib.error

import stack
from harness import await_true, expect
from kills import await_store, replay_with

ALIVE_AGAIN_S = 30
# The evaluators' session in these meshes (harness.World): the group is lost after it.
SESSION_S = 6


def reasons(world, name):
    """Why a service says that it is not ready; nothing where it is."""
    try:
        stack.http_get(f"http://{world.mesh.address(name, 'http')}/readyz")
        return ""
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def await_blocked(world):
    await_true("a commit of the evaluator waits for the database",
               lambda: world.mesh.metrics("evaluator").get("stockalert_evaluator_commits_blocked") == 1, 30)


def all_live(world, began):
    def live():
        world.supervise()
        return all(world.mesh.ready(name) for name in world.mesh.services)
    left = ALIVE_AGAIN_S - (time.monotonic() - began)
    try:
        await_true("all services are live again", live, left, 0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}; the evaluator: {reasons(world, 'evaluator') or 'ready'}") from error
    print(f"    all live {time.monotonic() - began:.1f} s after the last was back", flush=True)


def stores(first_back):
    """Postgres goes, a commit waits for it, and Kafka goes for longer than a session."""
    def case(world):
        def disturb(_key):
            postgres, kafka = world.mesh.postgres.process, world.mesh.kafka.process
            expect(postgres.stop(), "postgres did not stop in order")
            await_blocked(world)
            kafka.kill()
            await_true("the evaluator has lost its group", lambda: "has not given" in reasons(world, "evaluator"), SESSION_S + 30)
            order = ("postgres", "kafka") if first_back == "postgres" else ("kafka", "postgres")
            for name in order:
                (postgres if name == "postgres" else kafka).start()
                await_store(world, name)
            all_live(world, time.monotonic())
        replay_with(world, disturb)
    return case


def frozen(world):
    """Postgres goes, a commit waits for it, and the evaluator is frozen for longer than a session."""
    def disturb(_key):
        postgres, evaluator = world.mesh.postgres.process, world.mesh.services["evaluator"]
        expect(postgres.stop(), "postgres did not stop in order")
        await_blocked(world)
        os.kill(evaluator.popen.pid, signal.SIGSTOP)
        try:
            # The broker gives the silent member up, whatever the clock of the frozen one says.
            time.sleep(SESSION_S + 4)
        finally:
            os.kill(evaluator.popen.pid, signal.SIGCONT)
        postgres.start()
        await_store(world, "postgres")
        all_live(world, time.monotonic())
    replay_with(world, disturb)


CASES = [("outages/postgres-and-kafka", stores("postgres")), ("outages/kafka-back-first", stores("kafka")),
         ("outages/postgres-and-frozen-evaluator", frozen)]
