"""The images that the cases try, on the engine that DOCKER_HOST names: built once a run by scripts/images, or, with STOCKALERT_IMAGES_TAG=TAG,
those that it has built with that tag before."""

import functools
import json
import os
import pathlib
import shutil
import subprocess

from cases import Skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "debian:bookworm-slim"
TAG = os.environ.get("STOCKALERT_IMAGES_TAG") or "dev"
SERVICES = ("user", "ticker", "alert", "fetcher", "evaluator", "notifier")
# Of each image, what it runs; the services' own come first.
PROGRAMS = {**{service: [f"stockalert-{service}"] for service in SERVICES},
            "tools": ["stockalert-migrate", "stockalert", "stockalert-log", "stockalert-semantics"]}
# What stands in for the official images where no registry is.
STORES = {"STOCKALERT_POSTGRES_IMAGE": f"stockalert/local-postgres:{TAG}", "STOCKALERT_KAFKA_IMAGE": f"stockalert/local-kafka:{TAG}",
          "STOCKALERT_PROMETHEUS_IMAGE": f"stockalert/local-prometheus:{TAG}"}


def name(image):
    return f"stockalert/{image}:{TAG}"


def docker(*arguments, check=True, timeout_s=120, env=None):
    """What docker prints; an error holds what it says. Skip where there is no engine to ask."""
    require_engine()
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout_s, cwd=ROOT,
                          env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done


@functools.cache
def require_engine():
    if not os.environ.get("DOCKER_HOST"):
        raise Skip("DOCKER_HOST names no Docker engine")
    if shutil.which("docker") is None:
        raise Skip("there is no docker command")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        raise Skip("docker has no compose: install the package docker-compose-v2 or docker-compose-plugin")


@functools.cache
def build():
    """Builds all of them, or takes them from the engine's cache; once a run."""
    require_engine()
    if os.environ.get("STOCKALERT_IMAGES_TAG"):
        return
    done = subprocess.run([ROOT / "scripts" / "images", "--with-stores", TAG], check=False, cwd=ROOT)
    if done.returncode != 0:
        raise AssertionError("scripts/images failed; see above")


def inspect(image):
    return json.loads(docker("image", "inspect", image).stdout)[0]


def inspect_container(container):
    return json.loads(docker("inspect", container).stdout)[0]
