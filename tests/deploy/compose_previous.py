"""Compose's volumes of the version before (previous.py), taken over by this one: nothing is lost, and what is new is made."""

import pathlib
import tempfile

import compose_mesh
import images
import previous
from cases import Skip
from harness import expect, expect_equal, timestamp
from images import ROOT, SERVICES, docker

FOLDER = tempfile.TemporaryDirectory(prefix="stockalert-previous-")
STARTED = []


def need_images():
    for service in (*SERVICES, "tools"):
        if docker("image", "inspect", f"stockalert/{service}:{previous.version()}", check=False).returncode != 0:
            raise Skip(f"the engine has no stockalert/{service}:{previous.version()}: {previous.remedy()}")


def upgrade():
    images.require_engine()
    previous.need_commit()
    need_images()
    # Both would be more than a small machine bears.
    compose_mesh.PROJECT.stop()
    previous.extract(FOLDER.name, "docker", "deploy")
    project = compose_mesh.Project(pathlib.Path(FOLDER.name) / "docker" / "compose.yaml", previous.version())
    STARTED.append(project)
    project.up()
    project.compose("run", "--rm", "-T", "demo", timeout_s=180)
    key, admin_key = project.demo_key(), project.read("/var/lib/stockalert/admin/admin_key")
    before = project.notifications(key)
    expect_equal(len(before), 3, "notifications of the version before")

    project.file = ROOT / "docker" / "compose.yaml"
    project.env["STOCKALERT_TAG"] = images.TAG
    print(f"    all healthy after {project.up():.1f} s", flush=True)
    expect_equal(project.read("/var/lib/stockalert/admin/admin_key"), admin_key, "the administrator's key")
    names = {notification["name"] for notification in before}
    expect(names <= {notification["name"] for notification in project.notifications(key)}, f"{names} are not all there")
    # One alert all the way, by the old user's key: Postgres by the roles, Kafka by the certificates.
    alert = {"symbol": "AAPL", "trigger_policy": "TRIGGER_POLICY_ONCE", "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "900"}}}
    done = project.grpcurl("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, key)
    expect_equal(done.returncode, 0, f"CreateAlert: {done.stderr}")

    def fired():
        quotes = [{"symbol": "AAPL", "price": price, "event_time": timestamp(), "session": "SESSION_REGULAR"} for price in ("800", "1000")]
        for quote in quotes:
            project.grpcurl("ticker", "PublishQuotes", {"quotes": [quote]}, admin_key)
        return len(project.notifications(key)) > len(before)
    compose_mesh.await_true("a notification of the new version", fired, 60, interval_s=1)
    password = project.read("/var/lib/stockalert/secrets/postgres_password")
    found = project.compose("exec", "-T", "-e", f"PGPASSWORD={password}", "postgres", "psql", "-U", "stockalert", "-At", "-c",
                            "SELECT DISTINCT usename FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY 1")
    expect_equal(found.stdout.split(), [f"stockalert_{role}" for role in ("alert", "evaluator", "notifier", "ticker", "user")],
                 "who is connected to the database")


def stop():
    for project in STARTED:
        project.stop()
    FOLDER.cleanup()


CASES = [("compose: up from the version before", upgrade)]
STOP = stop
