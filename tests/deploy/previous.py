"""The version before: deploy/previous-version names it and its commit, from which its chart and its compose file are taken.

Its images are made by `scripts/images VERSION` in a checkout of COMMIT.
"""

import io
import re
import subprocess
import tarfile

from cases import Skip
from kubernetes import ROOT, run

FILE = ROOT / "deploy" / "previous-version"


def read():
    """The version before, and its commit."""
    lines = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) == 1 and len(lines[0]) == 2, f"{FILE} has to be one line, VERSION and COMMIT, beside comments"
    found, commit = lines[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?", found), f"{FILE}: {found} is no version"
    assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{FILE}: {commit} is no commit in full"
    return found, commit


def version():
    return read()[0]


def need_commit():
    found, commit = read()
    if run(["git", "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"], check=False).returncode != 0:
        raise Skip(f"this clone has not the commit {commit} of the version before, {found}: it has no history (git fetch --unshallow), or not that one")
    return commit


def remedy():
    found, commit = read()
    return f"load what scripts/images {found} builds in a checkout of {commit}"


def extract(folder, *paths):
    """What the version before has at `paths`, below `folder`."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", need_commit(), *paths], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder)
