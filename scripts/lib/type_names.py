#!/usr/bin/env python3
"""type_names.py: refuses two classes, structs or enums of one name in services/, by universal-ctags: who reads one should not have to ask whose it is.
What is nested in a class or local to a file has no name that others could meet."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Deliberately alike, each of a namespace of its own: what every program has, what is written with its namespace (kafka::Settings), and what the
# ticker service and the fetcher say to each other in the same words.
ALIKE = {"Config", "Settings", "FetchedQuotes", "Knowledge", "LookedUp", "SymbolProblem"}


def types(files: list[pathlib.Path], root: pathlib.Path) -> dict[str, list[str]]:
    """Where each name stands: {"Config": ["services/alert/config.h:17", ...]}."""
    command = ["ctags", "--output-format=json", "--languages=C++", "--kinds-C++=cgs", "--fields=+nZ", "-f", "-", *map(str, files)]
    found: dict[str, list[str]] = {}
    for line in subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") != "tag" or tag.get("scopeKind", "namespace") != "namespace" or re.search(r"\b__anon", f"{tag.get('scope', '')}::{tag['name']}"):
            continue
        found.setdefault(tag["name"], []).append(f"{tag['path']}:{tag['line']}")
    return found


def problems(found: dict[str, list[str]]) -> list[str]:
    return [f"{name} is the name of several types: {', '.join(sorted(places))}" for name, places in sorted(found.items())
            if len(places) > 1 and name not in ALIKE]


def main() -> int:
    files = sorted(path.relative_to(ROOT) for suffix in ("h", "cc") for path in (ROOT / "services").rglob(f"*.{suffix}"))
    wrong = problems(types(files, ROOT))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
