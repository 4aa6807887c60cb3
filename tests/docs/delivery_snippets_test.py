#!/usr/bin/env python3
"""tests/docs/delivery_snippets_test.py: what docs/delivery.md shows in four languages stands in the receivers that are tested, line for line."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
RECEIVERS = {
    "python": CLIENTS / "python" / "receiver.py",
    "go": CLIENTS / "go" / "receiver" / "main.go",
    "java": CLIENTS / "java" / "src" / "main" / "java" / "dev" / "stockalert" / "example" / "Receiver.java",
    "typescript": CLIENTS / "typescript" / "receiver.ts",
}


def lines_of(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def main() -> int:
    page = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    problems = []
    for language, receiver in RECEIVERS.items():
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)
        if not blocks:
            problems.append(f"docs/delivery.md shows nothing in {language}")
        code = lines_of(receiver.read_text(encoding="utf-8"))
        problems += [f"{receiver.relative_to(ROOT)} has no\n{block}" for block in blocks if lines_of(block) not in code]
        if f"]({pathlib.PurePosixPath('..') / receiver.relative_to(ROOT)})" not in page:
            problems.append(f"docs/delivery.md does not lead to {receiver.relative_to(ROOT)}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
