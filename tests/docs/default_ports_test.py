#!/usr/bin/python3
"""tests/docs/default_ports_test.py: where something listens unless it is told otherwise lies below the ports that Linux lends to outgoing
connections (32768 to 60999), but for the four public ports; and the places that name such ports agree."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import mesh  # noqa: E402

LENT = range(32768, 61000)
PUBLIC = {50051, 50052, 50053, 50054}
# Of each place that says where something listens, or is called: the pattern of a port.
PLACES = {
    "services/*/config.h": r'"127\.0\.0\.1:(\d+)"',
    "services/tools/client/settings.h": r'"127\.0\.0\.1:(\d+)"',
    "tests/bench/bench.cc": r'"(?:http://)?127\.0\.0\.1:(\d+)"',
    "docker/compose.yaml": r"(?:ADDRESS|BACKEND|HOST\}|BOOTSTRAP): ?[\w.]+:(\d+)|^ +- \"?127\.0\.0\.1:(?:\$\{\w+:-)?(\d+)",
    "docker/Dockerfile": r"(?:^EXPOSE| )\s*(\d{4,5})\b(?=[\d ]*$)",
    "docker/edge/haproxy.cfg": r"presetenv EDGE_\w+_PORT (\d+)",
    "docker/edge/healthcheck": r"EDGE_HTTP_PORT:-(\d+)",
    "deploy/observability/prometheus.yml": r"\[\"?\w+:(\d+)",
    "deploy/helm/stockalert/templates/edge.yaml": r"containerPort: (\d+)",
}


def ports_in(pattern):
    found = {}
    for glob, port in PLACES.items():
        if pattern not in ("", glob):
            continue
        for path in ROOT.glob(glob):
            for match in re.finditer(port, path.read_text(encoding="utf-8"), re.MULTILINE):
                found.setdefault(int(next(filter(None, match.groups()))), path.relative_to(ROOT))
    return found


class DefaultPorts(unittest.TestCase):
    def test_each_place_has_some(self):
        for glob in PLACES:
            self.assertTrue(ports_in(glob), glob)

    def test_none_but_the_public_ones_is_lent(self):
        bad = {port: str(path) for port, path in ports_in("").items() if port in LENT and port not in PUBLIC}
        self.assertEqual(bad, {})

    def test_scripts_run_has_the_services_defaults(self):
        wanted = {mesh.FIRST_PORTS[kind] + place for place, kinds in mesh.SERVICES.values() for kind in kinds}
        # That of the pages that unsubscribe is opened only where it is asked for.
        self.assertEqual({port for port in ports_in("services/*/config.h") if port > 10000}, wanted | {13054})

    def test_a_first_port_has_the_others_above_it(self):
        moved = mesh.Mesh("/nowhere", 20000, "postgresql://x", "127.0.0.1:1")
        self.assertEqual([moved.address("user"), moved.address("notifier"), moved.address("evaluator", "http"), moved.address("fetcher", "internal")],
                         ["127.0.0.1:20000", "127.0.0.1:20003", "127.0.0.1:21005", "127.0.0.1:22004"])
        self.assertEqual(mesh.Mesh("/nowhere", None, "postgresql://x", "127.0.0.1:1").address("user", "internal"), "127.0.0.1:12051")

    def test_services_with_public_ports_start_first(self):
        public = ["public" in kinds for _, kinds in mesh.SERVICES.values()]
        self.assertEqual(public, sorted(public, reverse=True))


if __name__ == "__main__":
    unittest.main()
