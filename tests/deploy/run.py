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
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / "lib"), str(ROOT / "tests" / "support")]
import stack  # noqa: E402
from cases import Report  # noqa: E402

MODULES = ("compose_*.py", "chart_*.py")


def load():
    here = pathlib.Path(__file__).resolve().parent
    names = [path.stem for pattern in MODULES for path in sorted(here.glob(pattern))]
    return [importlib.import_module(name) for name in names]


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
    report = Report("deploy")
    for module in modules:
        for name, function in module.CASES:
            if not arguments.parts or any(part in name for part in arguments.parts):
                report.run(name, function)
    stop()
    if not report.end(arguments.junit):
        return 1
    return 0 if report.counts["passed"] else 77 if report.counts["skipped"] else 1


if __name__ == "__main__":
    sys.exit(main())
