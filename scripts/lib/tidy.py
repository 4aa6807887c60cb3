#!/usr/bin/env python3
"""tidy.py [PATH...]: clang-tidy over our C++, remembering what was clean. Needs the dev build."""

import argparse
import pathlib
import subprocess
import sys

import clean_files
from clean_files import BUILD, ROOT

TIDY = "clang-tidy-19"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tidy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="only files below these (default: services tests)")
    below = [ROOT / path for path in (parser.parse_args().paths or ["services", "tests"])]
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    common = (version + (ROOT / ".clang-tidy").read_text(encoding="utf-8")).encode()
    # The rules of a folder of its own.
    nested = {path.parent: path.read_bytes() for part in ("services", "tests") for path in sorted((ROOT / part).rglob(".clang-tidy"))}

    def rules(source: pathlib.Path) -> bytes:
        return common + b"".join(text for folder, text in nested.items() if source.is_relative_to(folder))

    def command(file: clean_files.Compiled) -> list[str]:
        return [TIDY, "-p", str(BUILD), "--quiet", "--warnings-as-errors=*", str(file.source)]

    files = [file for file in clean_files.compiled_files() if any(file.source.is_relative_to(folder) for folder in below)]
    return 1 if clean_files.run(clean_files.Check("clang-tidy", rules, command), files) else 0


if __name__ == "__main__":
    sys.exit(main())
