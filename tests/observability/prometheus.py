"""A real Prometheus, Debian's, private and on loopback.

Its package is unpacked below build/tools and not installed: installing it would start a server and leave a user, a cron job and a service.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

from harness import ROOT, Skip, stack

# No proxy: it is on loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
DEPLOY = ROOT / "deploy" / "observability"


def tool(name):
    """prometheus or promtool: the machine's own where it is installed, else from Debian's package."""
    installed = shutil.which(name)
    if installed:
        return pathlib.Path(installed)
    folder = ROOT / "build" / "tools" / "prometheus"
    path = folder / "usr" / "bin" / name
    if not path.exists():
        unpack(folder)
    return path


def unpack(folder):
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        done = subprocess.run(["apt-get", "-q", "download", "prometheus"], cwd=partial, capture_output=True, text=True, check=False)
        packages = list(partial.glob("prometheus_*.deb"))
        if done.returncode != 0 or not packages:
            why = f"Debian's package prometheus cannot be had (apt-get update, then again): {done.stderr.strip()[-300:]}"
            if os.environ.get("CI"):
                raise AssertionError(why)
            raise Skip(why)
        subprocess.run(["dpkg", "-x", str(packages[0]), str(partial)], check=True)
        packages[0].unlink()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def promtool(*arguments, cwd=None):
    """(exit code, output)"""
    done = subprocess.run([str(tool("promtool")), *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


class Prometheus:
    """Scrapes a mesh by the configuration that is delivered, its targets and its interval changed alone."""

    def __init__(self, folder, mesh, edge):
        self.folder = folder
        # The edge of a mesh without TLS has no certificates.
        config, certificates, _ = (DEPLOY / "prometheus.yml").read_text().partition("  - job_name: stockalert-edge-certificates")
        if not certificates:
            raise AssertionError("prometheus.yml says nothing of the edge's certificates")
        config, targets = re.subn(r"edge:\d+", edge.http_address, config)
        if targets != 1:
            raise AssertionError(f"prometheus.yml has {targets} targets for the edge")
        config = re.sub(r"(scrape_interval|evaluation_interval): \S+", r"\1: 1s", config)
        config, targets = re.subn(r"\[(\w+):\d+\]", lambda found: f"['{mesh.address(found.group(1), 'http')}']", config)
        if targets != len(mesh.services):
            raise AssertionError(f"prometheus.yml has {targets} targets for {len(mesh.services)} services")
        shutil.copytree(DEPLOY / "rules", folder / "rules")
        (folder / "prometheus.yml").write_text(config)
        self.port = stack.free_port()
        self.process = stack.Process("prometheus", [
            tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}"], folder / "prometheus.log", grace_s=10)

    def start(self):
        self.process.start()
        stack.wait_for("Prometheus", lambda: stack.http_ok(f"http://127.0.0.1:{self.port}/-/ready"), 30, self.process)

    def get(self, path, **parameters):
        """What the HTTP API answers; raises where it is an error."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with OPENER.open(url, timeout=30) as answer:
                reply = json.load(answer)
        except OSError as error:
            body = error.read().decode(errors="replace") if hasattr(error, "read") else ""
            raise AssertionError(f"{path} {parameters}: {error} {body}") from None
        if reply["status"] != "success":
            raise AssertionError(f"{path} {parameters}: {reply}")
        return reply["data"]

    def query(self, expression):
        return self.get("query", query=expression)["result"]

    def samples(self, expression, start, end):
        """All samples between two times, one every two seconds; NaN, which no graph shows, left out."""
        series = self.get("query_range", query=expression, start=f"{start:.3f}", end=f"{end:.3f}", step="2")["result"]
        return [float(value) for one in series for _, value in one["values"] if value != "NaN"]
