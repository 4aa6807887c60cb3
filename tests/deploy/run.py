#!/usr/bin/python3
"""tests/deploy/run.py [--junit=FILE] [PART...]: what is shipped, tried where it runs. PART: only cases whose names have it.

Cases are in the modules compose_*.py (against the Docker engine that DOCKER_HOST names) and chart_*.py (against the cluster that KUBECONFIG
names) beside this file. A module has CASES, a list of (name, function without arguments), and may have STOP, a function that is called once
at the end. A function that returns has passed; Skip says that the machine lacks something, anything else raised is a failure. Nothing passed
and something skipped: exit code 77.
"""

import argparse
import importlib
import pathlib
import re
import sys
import time
import traceback
import xml.etree.ElementTree as tree

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib"))
import stack  # noqa: E402
from skip import Skip  # noqa: E402

MODULES = ("compose_*.py", "chart_*.py")


def load():
    here = pathlib.Path(__file__).resolve().parent
    names = [path.stem for pattern in MODULES for path in sorted(here.glob(pattern))]
    return [importlib.import_module(name) for name in names]


def run_case(name, function, suite):
    """Answers passed, failed or skipped."""
    element = tree.SubElement(suite, "testcase", name=f"deploy/{name}".replace(" ", "-"), classname="deploy")
    began = time.monotonic()
    try:
        function()
        result = "passed"
    except Skip as skip:
        result = "skipped"
        tree.SubElement(element, "skipped", message=str(skip))
        print(f"    SKIPPED: {skip}", flush=True)
    except Exception:  # pylint: disable=broad-except
        result = "failed"
        text = traceback.format_exc()
        tree.SubElement(element, "failure").text = re.sub(r"[^\x09\x0a\x0d\x20-\ud7ff]", "?", text)
        print(text, flush=True)
    took_s = time.monotonic() - began
    element.set("time", f"{took_s:.2f}")
    print(f"{result:8} {name} ({took_s:.1f} s)", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(prog="tests/deploy/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--junit")
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    modules = load()
    stops = [module.STOP for module in modules if hasattr(module, "STOP")]

    def stop():
        while stops:
            stops.pop()()

    stack.run_at_exit(stop)
    suite = tree.Element("testsuite", name="deploy")
    results = []
    for module in modules:
        for name, function in module.CASES:
            if not arguments.parts or any(part in name for part in arguments.parts):
                results.append(run_case(name, function, suite))
    stop()
    if arguments.junit:
        tree.ElementTree(suite).write(arguments.junit, encoding="unicode")
    passed, failed, skipped = (results.count(word) for word in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    if failed:
        return 1
    return 0 if passed else 77 if skipped else 1


if __name__ == "__main__":
    sys.exit(main())
