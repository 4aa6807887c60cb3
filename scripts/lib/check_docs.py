#!/usr/bin/env python3
"""check_docs.py: what the documents name exists. Every relative link, every path in code marks that lies in a folder of this tree, and every
option that a document gives to one of our scripts."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("scripts/", "deploy/", "services/", "tests/", "docs/", "proto/", ".ci/", "cmake/")


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    problems = []
    count = 0
    for name in filter(None, listed.split("\0")):
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            count += 1
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                problems.append(f"{name}: the link {target} leads nowhere")
        if name == "docs/api.md":
            continue
        for path in re.findall(r"`((?:\./)?[\w.]+/[^`\s]*?)`", text):
            path = path.removeprefix("./")
            if path.startswith(FOLDERS) and not re.search(r"[<>{}*A-Z$…]", path.replace("README", "").replace("CMakeLists", "").replace("CHANGELOG", "")):
                count += 1
                if not (ROOT / path).exists() and not list(ROOT.glob(path + ".*")):
                    problems.append(f"{name}: {path} does not exist")
        for script, options in re.findall(r"(scripts/(?:run|test|audit))\b([^`\n|;&#]*)", text):
            help_text = (ROOT / script).read_text(encoding="utf-8")
            for option in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", options):
                count += 1
                if option not in help_text:
                    problems.append(f"{name}: {script} knows no {option}")
    for problem in problems:
        print(problem)
    print(f"{count} references in the documents checked, {len(problems)} broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
