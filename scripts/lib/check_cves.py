#!/usr/bin/env python3
"""check_cves.py [--data=FILE] [--today=YYYY-MM-DD] [--page=FILE]: docs/security.md against what Debian knows of its packages.

The page names the source packages that the programs and the edge stand on, and the CVEs of theirs that touch us, each as open in Debian 12 or
mended in a version. With the data of Debian's security tracker (--data, or the tracker itself, kept below build for a day): each CVE that Debian
calls open for one of these packages is on the page, or among those that the page says do not touch us, and what the page calls open or mended
Debian does, too. Where the tracker cannot be reached it says so and looks at the page's date: it is no older than 92 days. Where a package is
installed, its own changelog has to name what the page calls mended.
"""

import argparse
import datetime
import gzip
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRACKER = "https://security-tracker.debian.org/tracker/data/json"
RELEASE = "bookworm"
AGE_DAYS_MAX = 92
KEPT_S = 86400
CVE = r"CVE-\d{4}-\d{4,}"


class Page:
    """What docs/security.md says of the libraries."""

    def __init__(self, text: str):
        section = re.search(r"^## Weaknesses of the libraries\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if not section:
            raise ValueError("the page has no section «Weaknesses of the libraries»")
        self.text = section.group(1)
        dated = re.search(r"As of (\d{4}-\d{2}-\d{2})", self.text)
        if not dated:
            raise ValueError("the section has no date: «As of YYYY-MM-DD»")
        self.date = datetime.date.fromisoformat(dated.group(1))
        packages = re.search(r"^Source packages: (.*)$", self.text, re.MULTILINE)
        self.packages = re.findall(r"`([a-z0-9.+-]+)`", packages.group(1)) if packages else []
        # CVE → (source package, None for open, or the version that mended it).
        self.rows = {}
        for cve, package, state in re.findall(rf"^\| ({CVE}) \| ([a-z0-9.+-]+) \| (open|mended in [^ |]+) \|", self.text, re.MULTILINE):
            self.rows[cve] = (package, None if state == "open" else state.removeprefix("mended in "))
        untouched = re.search(r"^Open in Debian 12, and not ours: (.*)$", self.text, re.MULTILINE)
        self.untouched = set(re.findall(CVE, untouched.group(1))) if untouched else set()


def own_faults(page: Page, today: datetime.date) -> list[str]:
    """What can be told of the page alone."""
    found = []
    if not page.packages or not page.rows:
        found.append("the page names no packages, or no CVE")
    found += [f"{cve}: {package} is not among the source packages" for cve, (package, _) in sorted(page.rows.items()) if package not in page.packages]
    found += [f"{cve} is said to touch us, and not to" for cve in sorted(page.untouched & set(page.rows))]
    if page.date > today:
        found.append(f"the page is of {page.date}, which is to come")
    return found


def age_faults(page: Page, today: datetime.date) -> list[str]:
    days = (today - page.date).days
    return [f"the page is of {page.date}, {days} days old: look at Debian's tracker, and date it anew"] if days > AGE_DAYS_MAX else []


def tracker_faults(page: Page, data: dict[str, Any]) -> list[str]:
    """The page against the tracker's data: package → CVE → releases."""
    found = []
    for package in page.packages:
        if package not in data:
            continue  # Debian knows no CVE of it.
        for cve, known in sorted(data[package].items()):
            state = known.get("releases", {}).get(RELEASE)
            if state is None or not re.fullmatch(CVE, cve):
                continue
            is_open = state.get("status") in ("open", "undetermined") and state.get("urgency") not in ("unimportant", "end-of-life")
            row = page.rows.get(cve)
            if row and row[0] == package:
                if row[1] is None and state.get("status") == "resolved":
                    found.append(f"{cve} is open on the page; Debian mended it in {package} {state.get('fixed_version', '?')}")
                elif row[1] is not None and is_open:
                    found.append(f"{cve} is mended on the page; Debian calls it open in {package}")
            elif is_open and cve not in page.untouched:
                found.append(f"{cve} is open in {package}, and the page does not name it: {known.get('description', '')[:120]}")
    for cve, (package, _) in sorted(page.rows.items()):
        if cve not in data.get(package, {}):
            found.append(f"Debian knows no {cve} of {package}")
    return found


def changelog(package: str) -> str:
    """The Debian changelogs of what is installed of a source package; empty where nothing is, or where they are left out."""
    listed = subprocess.run(["dpkg-query", "-W", "-f=${source:Package} ${Package} ${db:Status-Status}\n"], capture_output=True, text=True, check=False)
    texts = []
    for line in listed.stdout.splitlines():
        source, _, rest = line.partition(" ")
        if source == package and rest.endswith(" installed"):
            path = pathlib.Path("/usr/share/doc") / rest.split()[0] / "changelog.Debian.gz"
            if path.exists():
                texts.append(gzip.decompress(path.read_bytes()).decode(errors="replace"))
    return "\n".join(texts)


def changelog_faults(page: Page, read: Callable[[str], str] = changelog) -> list[str]:
    found = []
    for cve, (package, mended) in sorted(page.rows.items()):
        text = read(package)
        if not text:
            continue
        if mended is not None and (cve not in text or f"({mended})" not in text):
            found.append(f"{cve} is mended in {package} {mended} on the page; the installed changelog says nothing of it")
        if mended is None and cve in text:
            found.append(f"{cve} is open on the page; the installed changelog of {package} names it")
    return found


def fetch() -> dict[str, Any] | None:
    """The tracker's data, or None."""
    kept = ROOT / "build" / "debian-security-tracker.json"
    if not kept.exists() or time.time() - kept.stat().st_mtime > KEPT_S:
        try:
            with urllib.request.urlopen(TRACKER, timeout=20) as reply:
                text = reply.read()
        except (urllib.error.URLError, OSError) as error:
            print(f"Debian's security tracker cannot be reached ({error}): the page's date has to do")
            return None
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(text)
    return json.loads(kept.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="check_cves.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the tracker's data, as a file")
    parser.add_argument("--page", default=ROOT / "docs" / "security.md")
    parser.add_argument("--today", default=datetime.date.today().isoformat())
    arguments = parser.parse_args()
    today = datetime.date.fromisoformat(arguments.today)
    try:
        page = Page(pathlib.Path(arguments.page).read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"{arguments.page}: {error}")
        return 1
    data = json.loads(pathlib.Path(arguments.data).read_text(encoding="utf-8")) if arguments.data else fetch()
    faults = own_faults(page, today) + changelog_faults(page) + (age_faults(page, today) if data is None else tracker_faults(page, data))
    print("\n".join(faults + [f"{len(page.rows)} CVEs of {len(page.packages)} packages on the page of {page.date}, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
