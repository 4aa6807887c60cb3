#!/usr/bin/env python3
"""tests/docs/check_cves_test.py: scripts/lib/check_cves.py finds what is wrong with a page, and nothing where nothing is."""

import datetime
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import check_cves  # noqa: E402

PAGE = """# Security

## Weaknesses of the libraries

As of 2026-11-01. More words.

Source packages: `grpc`, `c-ares`.

| CVE | package | in Debian 12 | what | what holds |
|---|---|---|---|---|
| CVE-2023-4785 | grpc | open | files | the edge |
| CVE-2023-32067 | c-ares | mended in 1.18.1-3 | an empty datagram | |

Open in Debian 12, and not ours: CVE-2024-11407 (zero copy).

## Another section

| CVE-2020-0001 | grpc | open | not of this section | |
"""
TODAY = datetime.date(2026, 11, 29)


def known(status, urgency="not yet assigned", **more):
    return {"releases": {"bookworm": {"status": status, "urgency": urgency, **more}}, "description": "words"}


GOOD = {"grpc": {"CVE-2023-4785": known("open"), "CVE-2024-11407": known("open"), "CVE-2020-0002": known("resolved")},
        "c-ares": {"CVE-2023-32067": known("resolved"), "CVE-2021-0003": known("open", "unimportant")},
        "other": {"CVE-2022-0004": known("open")}}


def with_changes(**packages):
    return {**GOOD, **{name.replace("_", "-"): {**GOOD.get(name.replace("_", "-"), {}), **of} for name, of in packages.items()}}


class CheckCves(unittest.TestCase):
    def setUp(self):
        self.page = check_cves.Page(PAGE)

    def test_reads_the_section(self):
        self.assertEqual(self.page.rows, {"CVE-2023-4785": ("grpc", None), "CVE-2023-32067": ("c-ares", "1.18.1-3")})
        self.assertEqual((self.page.packages, self.page.untouched), (["grpc", "c-ares"], {"CVE-2024-11407"}))
        for text, wanted in (("# x", "no section"), (PAGE.replace("As of", "Since"), "no date")):
            with self.assertRaisesRegex(ValueError, wanted):
                check_cves.Page(text)

    def test_good_is_good(self):
        self.assertEqual(check_cves.own_faults(self.page, TODAY) + check_cves.age_faults(self.page, TODAY), [])
        self.assertEqual(check_cves.tracker_faults(self.page, GOOD), [])

    def test_the_pages_own_faults(self):
        for old, new, wanted in (("`c-ares`", "`curl`", "not among the source packages"), ("zero copy", "CVE-2023-4785", "and not to"),
                                 ("2026-11-01", "2027-01-01", "to come")):
            self.assertRegex("\n".join(check_cves.own_faults(check_cves.Page(PAGE.replace(old, new)), TODAY)), wanted)

    def test_age(self):
        for days, faults in ((92, 0), (93, 1)):
            self.assertEqual(len(check_cves.age_faults(self.page, self.page.date + datetime.timedelta(days))), faults, days)

    def test_the_tracker_knows_better(self):
        for data, wanted in ((with_changes(grpc={"CVE-2026-0005": known("open")}), "CVE-2026-0005 is open in grpc, and the page does not name it"),
                             (with_changes(grpc={"CVE-2026-0005": known("undetermined")}), "CVE-2026-0005"),
                             (with_changes(grpc={"CVE-2023-4785": known("resolved", fixed_version="1.51.1-3+deb12u1")}), "Debian mended it in grpc 1.51.1"),
                             (with_changes(c_ares={"CVE-2023-32067": known("open")}), "Debian calls it open in c-ares"),
                             ({**GOOD, "c-ares": {}}, "Debian knows no CVE-2023-32067 of c-ares")):
            faults = check_cves.tracker_faults(self.page, data)
            self.assertEqual(len(faults), 1, faults)
            self.assertRegex(faults[0], wanted)

    def test_installed_changelogs(self):
        def read(texts):
            return lambda package: texts.get(package, "")
        good = {"grpc": "grpc (1.51.1-3)", "c-ares": "c-ares (1.18.1-3)\n CVE-2023-32067"}
        self.assertEqual(check_cves.changelog_faults(self.page, read(good)), [])
        self.assertEqual(check_cves.changelog_faults(self.page, read({})), [])
        for text in ({**good, "c-ares": "c-ares (1.18.1-3)"}, {**good, "c-ares": "c-ares (1.18.1-4)\n CVE-2023-32067"},
                     {**good, "grpc": "CVE-2023-4785"}):
            self.assertEqual(len(check_cves.changelog_faults(self.page, read(text))), 1, text)


if __name__ == "__main__":
    unittest.main()
