#!/usr/bin/python3
"""tests/observability/run.py [--junit=FILE] [PART...]: metrics, rules and dashboards against a private mesh and a real Prometheus, and what
docs/operations.md says, done as it says. PART: only cases whose names have it."""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import harness  # noqa: E402
import operations  # noqa: E402
import scraped  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="tests/observability/run.py", description=__doc__)
    parser.add_argument("--junit")
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    return harness.run_cases(scraped.CASES + operations.CASES, harness.new_folder(), arguments.junit, arguments.parts, "observability")


if __name__ == "__main__":
    sys.exit(main())
