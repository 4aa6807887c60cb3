#!/usr/bin/env python3
"""function_length.py [FILE...]: refuses a C++ function of more than 70 lines, by universal-ctags. Without files: all of services/ and tests/.
A TEST_CASE is no function to ctags, and may be longer."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 70


def functions(files: list[pathlib.Path]) -> list[tuple[str, int, str, int]]:
    """(file, line, name, lines) of each function that has a body. A lambda is a part of the function that it stands in."""
    command = ["ctags", "--output-format=json", "--languages=C++", "--kinds-C++=f", "--fields=+ne", "-f", "-", *map(str, files)]
    found = []
    for line in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") != "tag" or "end" not in tag or tag["name"].startswith("__anon"):
            continue
        scope = tag.get("scope", "").split("::") if tag.get("scopeKind") != "namespace" else []
        # Of the scope, the classes alone.
        classes = [part for part in scope if part[:1].isupper()]
        found.append((tag["path"], tag["line"], "::".join([*classes, tag["name"]]), tag["end"] - tag["line"] + 1))
    return found


def problems(found: list[tuple[str, int, str, int]]) -> list[str]:
    return [f"{file}:{line}: {name} has {lines} lines, which is more than {LINES_MAX}: give its parts names"
            for file, line, name, lines in found if lines > LINES_MAX]


def main() -> int:
    if sys.argv[1:]:
        wrong = problems(functions([pathlib.Path(name).resolve() for name in sys.argv[1:]]))
    else:
        files = sorted(path.relative_to(ROOT) for part in ("services", "tests") for suffix in ("h", "cc") for path in (ROOT / part).rglob(f"*.{suffix}"))
        wrong = problems(functions(files))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
