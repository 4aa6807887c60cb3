"""Checks of compiled C++ files, one by one, that remember what was clean.

A file is checked again only when it, a header of ours that it includes, how it is compiled or what checks it has changed: the results are kept
below ~/.cache/stockalert. Needs the dev build, whose commands and dependencies are read.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "dev"


@dataclasses.dataclass(frozen=True)
class Compiled:
    source: pathlib.Path
    command: list[str]


@dataclasses.dataclass(frozen=True)
class Check:
    """`name` names what is remembered; `rules` is all that decides besides the file: where it changes, every file is checked again."""

    name: str
    rules: Callable[[pathlib.Path], bytes]
    command: Callable[[Compiled], list[str]]


def compiled_files() -> list[Compiled]:
    entries = json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
    return [Compiled(pathlib.Path(entry["file"]).resolve(), shlex.split(entry["command"])) for entry in entries]


def _made_from() -> dict[str, list[pathlib.Path]]:
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


def _mark_names(check: Check, files: list[Compiled]) -> dict[pathlib.Path, str]:
    """What each file is remembered by, once it is clean."""
    made_from = _made_from()
    digests: dict[pathlib.Path, bytes] = {}

    def digest(path: pathlib.Path) -> bytes:
        if path not in digests:
            digests[path] = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
        return digests[path]

    names = {}
    for file in files:
        # The generated commands name the object behind -o.
        headers = made_from.get(file.command[file.command.index("-o") + 1])
        if not headers:
            # Its headers are not known: a mark would say that it is clean whatever becomes of them.
            sys.exit(f"{check.name}: {file.source.relative_to(ROOT)} has not been built: scripts/lib/build.sh dev")
        key = hashlib.sha256(check.rules(file.source) + " ".join(file.command).replace(str(ROOT), "").encode())
        for path in sorted({*headers, file.source}):
            key.update(str(path.relative_to(ROOT)).encode() + digest(path))
        names[file.source] = key.hexdigest()
    return names


def run(check: Check, files: list[Compiled]) -> int:
    """Checks what is not known to be clean, as many at once as there are processors. Answers how many are not."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "stockalert" / check.name
    cache.mkdir(parents=True, exist_ok=True)
    marks = {source: cache / name for source, name in _mark_names(check, files).items()}
    work = []
    for file in files:
        if marks[file.source].exists():
            os.utime(marks[file.source])
        else:
            work.append(file)
    print(f"{check.name}: {len(files) - len(work)} files known to be clean, {len(work)} to check", flush=True)
    bad, done = 0, 0
    lock = threading.Lock()

    def look(file: Compiled) -> None:
        nonlocal bad, done
        outcome = subprocess.run(check.command(file), cwd=BUILD, capture_output=True, text=True, check=False)
        with lock:
            done += 1
            if outcome.returncode == 0:
                marks[file.source].touch()
            else:
                bad += 1
                print(outcome.stdout.strip() or outcome.stderr.strip()[-4000:], flush=True)
            if done % 20 == 0:
                print(f"{check.name}: {done} of {len(work)}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(look, work))
    # What has not been looked for in a month is of files that are no more.
    for mark in cache.iterdir():
        if time.time() - mark.stat().st_mtime > 30 * 86400:
            mark.unlink(missing_ok=True)
    print(f"{check.name}: {len(files) - bad} clean, {bad} not")
    return bad
