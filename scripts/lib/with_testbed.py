#!/usr/bin/env python3
"""with_testbed.py COMMAND...: runs it beside a fresh private Postgres and Apache Kafka, named by STOCKALERT_TEST_POSTGRES and
STOCKALERT_TEST_KAFKA. Exits with the command's code; both are gone afterwards, with their data.

Where Kafka cannot be had (no network, no Java), its variable stays unset and what needs it skips, loudly; with STOCKALERT_REQUIRE_KAFKA=1
that is an error.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import stack


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    (stack.ROOT / "build").mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="testbed-", dir=stack.ROOT / "build"))
    folder.chmod(0o755)
    postgres = stack.Postgres(folder / "postgres", stack.free_port())
    kafka = stack.Kafka(folder / "kafka", stack.free_port(), stack.free_port())

    def stop() -> None:
        for process in (postgres.process, kafka.process):
            if process is not None:
                process.stop()
        postgres.wipe()
        shutil.rmtree(folder, ignore_errors=True)

    stack.run_at_exit(stop)
    postgres.start()
    postgres.await_ready()
    postgres.create_database("stockalert_test")
    env = dict(os.environ, STOCKALERT_TEST_POSTGRES=postgres.url("stockalert_test"))
    try:
        kafka.start()
        kafka.await_ready()
        env["STOCKALERT_TEST_KAFKA"] = kafka.bootstrap
    except stack.StackError as error:
        if os.environ.get("STOCKALERT_REQUIRE_KAFKA") == "1":
            raise
        print(f"\n*** NO KAFKA: what needs a real broker is SKIPPED. {error}\n", file=sys.stderr, flush=True)
    return subprocess.run(sys.argv[1:], env=env, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stack.StackError as error:
        sys.exit(f"testbed: {error}")
