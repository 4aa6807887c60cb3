#!/usr/bin/python3
"""tests/e2e/run.py [--junit=FILE] [--rounds=N] [PART...]: the end-to-end cases against a private mesh. PART: only cases whose names have it."""

import argparse
import sys

sys.dont_write_bytecode = True

import calls  # noqa: E402
import deliveries  # noqa: E402
import fairness  # noqa: E402
import gaps  # noqa: E402
import guide  # noqa: E402
import harness  # noqa: E402
import holds  # noqa: E402
import kills  # noqa: E402
import outages  # noqa: E402
import pictures  # noqa: E402
import poison  # noqa: E402
import ports  # noqa: E402
import replays  # noqa: E402
import secured  # noqa: E402
import splits  # noqa: E402
import whole_run  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="tests/e2e/run.py", description=__doc__)
    parser.add_argument("--junit")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_args()
    cases = (calls.CASES + replays.CASES + kills.CASES + outages.CASES + calls.LAST_CASES) * arguments.rounds
    cases += deliveries.CASES + pictures.CASES + fairness.CASES + gaps.CASES + splits.CASES + holds.CASES + guide.CASES + secured.CASES
    cases += poison.CASES + ports.CASES + whole_run.CASES
    return harness.run_cases(cases, harness.new_folder(), arguments.junit, arguments.parts)


if __name__ == "__main__":
    sys.exit(main())
