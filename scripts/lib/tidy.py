#!/usr/bin/env python3
"""tidy.py [PATH...]: clang-tidy over our C++, remembering what was clean.

A file is checked again only when it, a header of ours that it includes, how it is compiled, .clang-tidy or clang-tidy itself has changed:
the results are kept below ~/.cache/stockalert/tidy. Needs the dev build, whose commands and dependencies it reads.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "dev"
TIDY = "clang-tidy-19"


def dependencies():
    """Object file → what of ours it was made from, as ninja wrote it down."""
    result, current = {}, None
    for line in subprocess.run(["ninja", "-C", str(BUILD), "-t", "deps"], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.startswith("    "):
            if current is not None:
                path = (BUILD / line.strip()).resolve()
                if path.is_relative_to(ROOT):
                    result[current].append(path)
        elif line:
            current = line.split(":", 1)[0]
            result[current] = []
        else:
            current = None
    return result


def main():
    parser = argparse.ArgumentParser(prog="tidy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="only files below these (default: services tests)")
    arguments = parser.parse_args()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "stockalert" / "tidy"
    cache.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    common = hashlib.sha256((version + (ROOT / ".clang-tidy").read_text()).encode()).digest()
    made_from = dependencies()
    # The rules of a folder of its own.
    nested = {path.parent: path.read_bytes() for part in ("services", "tests") for path in sorted((ROOT / part).rglob(".clang-tidy"))}
    below = [ROOT / path for path in (arguments.paths or ["services", "tests"])]
    digests = {}

    def digest(path):
        if path not in digests:
            digests[path] = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
        return digests[path]

    work = []
    known = 0
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"]).resolve()
        if not any(source.is_relative_to(folder) for folder in below):
            continue
        # The generated commands name the object behind -o.
        words = entry["command"].split()
        headers = made_from.get(words[words.index("-o") + 1])
        if not headers:
            # Its headers are not known: a mark would say that it is clean whatever becomes of them.
            sys.exit(f"clang-tidy: {source.relative_to(ROOT)} has not been built: scripts/lib/build.sh dev")
        key = hashlib.sha256(common + entry["command"].replace(str(ROOT), "").encode())
        for folder, rules in nested.items():
            if source.is_relative_to(folder):
                key.update(rules)
        for path in sorted(set(headers) | {source}):
            key.update(str(path.relative_to(ROOT)).encode() + digest(path))
        mark = cache / key.hexdigest()
        if mark.exists():
            known += 1
            os.utime(mark)
        else:
            work.append((source, mark))
    print(f"clang-tidy: {known} files known to be clean, {len(work)} to check", flush=True)
    bad, done = [], 0
    lock = threading.Lock()

    def check(item):
        nonlocal done
        source, mark = item
        run = subprocess.run([TIDY, "-p", str(BUILD), "--quiet", "--warnings-as-errors=*", str(source)], capture_output=True, text=True, check=False)
        with lock:
            done += 1
            if run.returncode == 0:
                mark.touch()
            else:
                bad.append(source)
                print(run.stdout.strip() or run.stderr.strip()[-2000:], flush=True)
            if done % 20 == 0:
                print(f"clang-tidy: {done} of {len(work)}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(check, work))
    # What has not been looked for in a month is of files that are no more.
    for mark in cache.iterdir():
        if time.time() - mark.stat().st_mtime > 30 * 86400:
            mark.unlink()
    print(f"clang-tidy: {known + done - len(bad)} clean, {len(bad)} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
