#!/usr/bin/env python3
"""scripts/lib/chart_readme.py [--check]: writes the table of values in the chart's README.md from the comments in its values.yaml.

A comment belongs to the key below it. Keys without one are left out of the table. --check: exit 1 where the README is not current.
"""

import pathlib
import re
import sys
from collections.abc import Iterator

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "helm" / "stockalert"
BEGIN = "<!-- values: made by scripts/lib/chart_readme.py -->"
END = "<!-- /values -->"


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """(path, default or None for a map, comment) of each key with a comment."""
    path = []  # Of the key at each depth, its indent and name.
    comment = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        if not stripped:
            comment = []
            continue
        match = re.fullmatch(r"( *)([\w.-]+):(?: (.*))?", line)
        if match is None:
            raise ValueError(f"values.yaml, line {number}: neither a comment nor a key on one line: {line}")
        indent, name, value = len(match.group(1)), match.group(2), match.group(3)
        path = [step for step in path if step[0] < indent] + [(indent, name)]
        if comment:
            yield ".".join(step[1] for step in path), value, " ".join(comment)
        comment = []


def table(text: str) -> str:
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for path, value, comment in rows(text):
        default = "" if value is None else f"`{value}`"
        lines.append(f"| `{path}` | {default} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def main() -> int:
    readme = CHART / "README.md"
    old = readme.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1:
        print(f"{readme}: must have the lines {BEGIN} and {END}, each once")
        return 1
    head, rest = old.split(BEGIN)
    tail = rest.split(END)[1]
    new = f"{head}{BEGIN}\n{table((CHART / 'values.yaml').read_text(encoding='utf-8'))}\n{END}{tail}"
    if sys.argv[1:] == ["--check"]:
        if new != old:
            print("the chart's README.md does not agree with its values.yaml: run scripts/lib/chart_readme.py")
            return 1
        return 0
    if sys.argv[1:]:
        print(__doc__)
        return 2
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
