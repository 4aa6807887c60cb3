#!/usr/bin/env python3
"""lock_check.py: clang looks, in every file of services/ that holds locks, whether what is guarded by one is touched only while it is held
(services/common/base/mutex.h). Remembers what was clean. Needs the dev build.
"""

import pathlib
import re
import subprocess
import sys

import clean_files
from clean_files import ROOT

CLANG = "clang++-19"
CHECKS = ["-Wno-everything", "-Wthread-safety", "-Werror=thread-safety"]
INCLUDED = re.compile(r'^#include "(services/[^"]+)"$', re.MULTILINE)


def holds_locks(source: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether it takes locks, or has what is guarded by them: in itself, in a header of its own folder, or in templates that it may use."""
    text = source.read_text(encoding="utf-8")
    if "Mutex" in text:
        return True
    namesake = source.with_suffix(".h")
    if namesake.is_file():
        text += namesake.read_text(encoding="utf-8")
    for name in INCLUDED.findall(text):
        header = root / name
        if not header.is_file() or header.name == "mutex.h":
            continue
        own = header.read_text(encoding="utf-8")
        templates = [own, *((root / inner).read_text(encoding="utf-8") for inner in INCLUDED.findall(own) if inner.endswith("_inl.h"))]
        if any("MutexLock" in part for part in templates) or ("ABSL_GUARDED_BY" in own and header.parent == source.parent):
            return True
    return False


def syntax_only(command: list[str], source: pathlib.Path) -> list[str]:
    """The same file for clang, with its definitions and folders, and with no other warnings than ours."""
    kept = [CLANG, "-fsyntax-only", *CHECKS]
    words = iter(command[1:])
    for word in words:
        if word in ("-isystem", "-I", "-D"):
            kept += [word, next(words)]
        elif word.startswith(("-D", "-I", "-std=")):
            kept.append(word)
    return [*kept, str(source)]


def main() -> int:
    version = subprocess.run([CLANG, "--version"], capture_output=True, text=True, check=True).stdout
    rules = (version + " ".join(CHECKS)).encode()
    files = [file for file in clean_files.compiled_files() if file.source.is_relative_to(ROOT / "services") and holds_locks(file.source, ROOT)]
    check = clean_files.Check("lock-check", lambda _: rules, lambda file: syntax_only(file.command, file.source))
    return 1 if clean_files.run(check, files) else 0


if __name__ == "__main__":
    sys.exit(main())
