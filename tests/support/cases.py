"""Cases of the tiers that are written in Python: how they say what they saw, and the report on them."""

import datetime
import re
import time
import traceback
import xml.etree.ElementTree as tree
from collections.abc import Callable
from typing import Any


class Skip(Exception):
    """The machine lacks what the case needs; the message says what."""


def timestamp(offset_s: float = 0) -> str:
    """Now, as protobuf's JSON writes it. From one reading of one clock: time.gmtime() begins a second up to 4 ms after time.time_ns() does."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def await_true(what: str, condition: Callable[[], Any], timeout_s: float = 30, interval_s: float = 0.1) -> Any:
    """Waits until `condition()` is true, and answers what it gave."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(interval_s)


class Report:
    """What became of a tier's cases, told as they end."""

    def __init__(self, tier: str):
        self.tier = tier
        self.suite = tree.Element("testsuite", name=tier)
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def run(self, name: str, case: Callable[[], object], on_failure: Callable[[], object] = lambda: None) -> None:
        """Calls `case`: one that returns has passed; Skip says that it could not be tried, anything else raised is a failure."""
        element = tree.SubElement(self.suite, "testcase", name=f"{self.tier}/{name}".replace(" ", "-"), classname=self.tier)
        began = time.monotonic()
        try:
            case()
            result = "passed"
        except Skip as skip:
            result = "skipped"
            tree.SubElement(element, "skipped", message=str(skip))
            print(f"    SKIPPED: {skip}", flush=True)
        except Exception:  # pylint: disable=broad-except
            result = "failed"
            text = traceback.format_exc()
            tree.SubElement(element, "failure").text = re.sub(r"[^\x09\x0a\x0d\x20-\ud7ff]", "?", text)
            print(text, flush=True)
            on_failure()
        self.counts[result] += 1
        took_s = time.monotonic() - began
        element.set("time", f"{took_s:.2f}")
        print(f"{result:8} {name} ({took_s:.1f} s)", flush=True)

    def end(self, junit: str | None = None) -> bool:
        """Prints the sum, writes the report to the file `junit`, and answers whether none failed."""
        if junit:
            tree.ElementTree(self.suite).write(junit, encoding="unicode")
        print(f"{self.counts['passed']} passed, {self.counts['failed']} failed, {self.counts['skipped']} skipped", flush=True)
        return self.counts["failed"] == 0
