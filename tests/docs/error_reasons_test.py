#!/usr/bin/env python3
"""tests/docs/error_reasons_test.py: scripts/lib/error_reasons.py finds every reason that the code makes, and what a page says of others or not at all."""

import base64
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import error_reasons  # noqa: E402

INFO = b"\x1a\x1b\n(type.googleapis.com/google.rpc.ErrorInfo\x12\x13\x0a\x09EDGE_RATE"
TREE = {
    "services/alert/logic.h": 'inline constexpr char kReasonQuota[] = "QUOTA";\n',
    "services/alert/logic.cc": """
        // base::NotFound("IN_A_COMMENT", "no");
        return base::ResourceExhausted(kReasonQuota, absl::StrCat("a user has (at most) ", quota, ", and no more"));
        if (!known) violations.Add(fields[i], absl::StrCat("no ", symbol), "UNKNOWN");
        return rpc::ParseOwnName(caller, "users/{user}", name, "name", "GONE");
        return base::InvalidField("a", "b");
        metrics.Add("a", 1);
    """,
    "services/ticker/logic.cc": """
        return base::MakeError(absl::StatusCode::kUnavailable, "a, b", {.reason = "AWAY", .metadata = {}});
        return base::Aborted("UNKNOWN", "x");
    """,
    "services/common/grpc/channel.cc": """
        absl::Status PeerFailure(const absl::Status& status, std::string_view reason) { return base::Unavailable(reason, "x"); }
    """,
    "services/tools/client/usage.cc": 'return base::InvalidField("a", "b", "WRONG");',
    "services/common/grpc/mesh_callers.cc": 'return base::Unauthenticated("TOKEN", "x");',
    "services/common/grpc/status_convert.cc": 'case absl::StatusCode::kNotFound:\n  return {"NOT_FOUND", "x"};',
    "docker/edge/replies/rate.http": "grpc-status: 8\ngrpc-status-details-bin: " + base64.b64encode(INFO).decode().rstrip("=") + "\n",
}
FOUND = {
    "QUOTA": ({"RESOURCE_EXHAUSTED"}, {"alert"}), "UNKNOWN": ({"INVALID_ARGUMENT", "ABORTED"}, {"alert", "ticker"}), "GONE": ({"NOT_FOUND"}, {"alert"}),
    "INVALID_FIELD": ({"INVALID_ARGUMENT"}, {"alert"}), "AWAY": ({"UNAVAILABLE"}, {"ticker"}), "TOKEN": ({"UNAUTHENTICATED"}, {"internal ports"}),
    "NOT_FOUND": ({"NOT_FOUND"}, {"every service"}), "EDGE_RATE": ({"RESOURCE_EXHAUSTED"}, {"edge"}),
    "WRONG": ({"INVALID_ARGUMENT"}, {"client"}),
}


def page(found, meaning="words"):
    rows = [error_reasons.row(reason, *found[reason], meaning) for reason in sorted(found)]
    head = "| reason | code | made by | what it means, what to do |\n|---|---|---|---|"
    return "\n".join(["# Errors", error_reasons.BEGIN, head, *rows, error_reasons.END, "tail"])


class ErrorReasons(unittest.TestCase):
    def made(self, **changed):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**TREE, **{name.replace("__", "/") + ".cc": text for name, text in changed.items()}}.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="ascii")
            return error_reasons.made(pathlib.Path(folder))

    def test_finds_what_is_made(self):
        self.assertEqual(self.made(), FOUND)

    def test_refuses_what_it_cannot_read(self):
        for text in ('return base::NotFound(ReasonOf(status), "x");', 'return base::NotFound(kElsewhere, "x");',
                     'violations.Add("a", "b", chosen);', 'return base::MakeError(code, "x", {.reason = "ODD"});'):
            with self.assertRaisesRegex(error_reasons.Unreadable, "services/user/logic.cc:1: what .* makes cannot be told", msg=text):
                self.made(services__user__logic=text)

    def test_a_current_page_is_current(self):
        self.assertEqual(error_reasons.rewrite(page(FOUND), FOUND), (page(FOUND), []))

    def test_finds_what_is_wrong_with_a_page(self):
        fewer = {reason: of for reason, of in FOUND.items() if reason != "QUOTA"}
        more = {**FOUND, "OLD": ({"ABORTED"}, {"user"})}
        other = {**FOUND, "AWAY": ({"ABORTED"}, {"ticker"})}
        for text, wanted in ((page(fewer), ["QUOTA (alert) is missing"]), (page(more), ["OLD is made nowhere any more"]), (page(other), ["codes, makers"]),
                             (page(FOUND, ""), ["nothing says what it means"] * len(FOUND))):
            new, problems = error_reasons.rewrite(text, FOUND)
            self.assertEqual(len(problems), len(wanted), problems)
            for problem, part in zip(problems, wanted):
                self.assertIn(part, problem)
            self.assertNotIn("OLD", new)

    def test_a_new_table_keeps_the_meanings(self):
        text = page(FOUND).replace("| alert, ticker | words |", "| ticker | its own, with a \\| |")
        new, problems = error_reasons.rewrite(text, FOUND)
        self.assertIn("| `UNKNOWN` | ABORTED, INVALID_ARGUMENT | alert, ticker | its own, with a \\| |", new)
        self.assertEqual(len(problems), 1, problems)


if __name__ == "__main__":
    unittest.main()
