#!/usr/bin/env python3
"""scripts/lib/error_reasons.py [--check]: writes the table of reasons in docs/errors.md, from the places in the code that make errors.

Reasons, their codes and who makes them come from the calls of base's factories (services/common/base/error.h), from what a status of a library is
told as, and from the edge's replies. The last column, what a reason means, is written in the page itself and kept. --check: exit 1 where a reason
is missing from the page, has no meaning, is made nowhere any more, or is told with another code or maker.
"""

import base64
import pathlib
import re
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = "docs/errors.md"
BEGIN = "<!-- reasons: made by scripts/lib/error_reasons.py; the meanings are written here -->"
END = "<!-- /reasons -->"
CODES = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
         "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]
# What makes an error: the code, or the place of the argument that has it, and the place of the reason; left out, it is INVALID_FIELD.
MAKERS = {
    "base::InvalidArgument": ("INVALID_ARGUMENT", 0), "base::NotFound": ("NOT_FOUND", 0), "base::AlreadyExists": ("ALREADY_EXISTS", 0),
    "base::FailedPrecondition": ("FAILED_PRECONDITION", 0), "base::Unauthenticated": ("UNAUTHENTICATED", 0),
    "base::PermissionDenied": ("PERMISSION_DENIED", 0), "base::Unavailable": ("UNAVAILABLE", 0), "base::DeadlineExceeded": ("DEADLINE_EXCEEDED", 0),
    "base::Aborted": ("ABORTED", 0), "base::ResourceExhausted": ("RESOURCE_EXHAUSTED", 0), "base::InvalidField": ("INVALID_ARGUMENT", 2),
    "violations.Add": ("INVALID_ARGUMENT", 2), "base::MakeError": (0, 2),
    "PeerFailure": ("UNAVAILABLE", 1), "ParseOwnName": ("NOT_FOUND", 4), "ResourceNotFound": ("NOT_FOUND", 0),
}
# Of one file alone.
OWN_MAKERS = {
    "services/fetcher/finnhub_source.cc": {"WithRetry": (0, 1)},
    "services/tools/client/short_names.cc": {"ShortNames": ("NOT_FOUND", 2)},
    "services/common/base/error.cc": {"Make": (0, 1), "Aborted": ("ABORTED", 0)},
}
# These make an error of what their callers, which are among the makers above, hand to them.
PASSED_ON = {("services/common/grpc/channel.cc", "reason"), ("services/common/grpc/resource_name.cc", "missing_reason"),
             ("services/fetcher/finnhub_source.cc", "reason"), ("services/common/base/error.cc", "reason"),
             ("services/tools/client/short_names.cc", "missing_reason_"), ("services/tools/client/usage.cc", "details"),
             ("services/common/grpc/status_convert.cc", "details"),
             # Rolls back what is only validated; nobody is told it.
             ("services/alert/alert_logic.cc", "ErrorDetails")}
# Reason → its codes and who makes it.
Found = dict[str, tuple[set[str], set[str]]]
LITERAL = re.compile(r'"([A-Z][A-Z0-9_]*)"')


class Unreadable(Exception):
    pass


def spell(code: str) -> str:
    """kNotFound is NOT_FOUND."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", code.removeprefix("k")).upper()


def arguments(text: str, begin: int) -> list[str]:
    """The arguments of the call whose parenthesis is at `begin`."""
    found, start, depth, at = [], begin + 1, 0, begin
    while True:
        char = text[at]
        if char == '"':
            at = re.compile(r'"(?:[^"\\]|\\.)*"', re.S).match(text, at).end()
            continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and char == ","):
            found.append(text[start:at].strip())
            start = at + 1
        if depth == 0:
            return found
        at += 1


def constants(texts: dict[str, str]) -> dict[tuple[str, str], str]:
    """Of each folder, the named reasons: {("services/alert", "kReasonAlertQuota"): "ALERT_QUOTA"}."""
    return {(str(pathlib.PurePath(name).parent), constant): value for name, text in texts.items()
            for constant, value in re.findall(r'constexpr char (k\w+)\[\] = "([A-Z][A-Z0-9_]*)";', text)}


def made_in(name: str, text: str, named: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    """(reason, code) of each error that a source file makes."""
    makers = {**MAKERS, **OWN_MAKERS.get(name, {})}
    text = re.sub(r"(?<!\w)\w+\.Add\(", "violations.Add(", text)  # By whatever name.
    pattern = r"(?<![\w.>])(?:rpc::)?(" + "|".join(map(re.escape, makers)) + r")\("
    for match in re.finditer(pattern, text):
        given = arguments(text, match.end() - 1)
        code, place = makers[match.group(1)]
        if match.group(1) == "violations.Add" and len(given) != 3:
            continue  # INVALID_FIELD, or another class's.
        if any(re.match(r"(const )?(absl::Status(Code)?|std::string(_view)?)\b.* \w+$", argument) for argument in given):
            continue  # Its declaration.
        if place >= len(given):
            yield "INVALID_FIELD", code
            continue
        if isinstance(code, int):
            stated = re.fullmatch(r"absl::StatusCode::(k\w+)", given[code])
            code = spell(stated.group(1)) if stated else None
        argument = re.sub(r"^(base::ErrorDetails)?\{(\.reason = )?(std::string\()?", "", given[place])
        literal = LITERAL.match(argument)
        word = re.match(r"(?:\w+::)*(\w+)", argument)
        if literal:
            reason = literal.group(1)
        elif word and (name, word.group(1)) in PASSED_ON:
            continue
        else:
            reason = word and named.get((str(pathlib.PurePath(name).parent), word.group(1)))
        if not reason or not code:
            line = text.count("\n", 0, match.start()) + 1
            raise Unreadable(f"{name}:{line}: what {match.group(1)}({', '.join(given)}) makes cannot be told: name it in {pathlib.Path(__file__).name}")
        yield reason, code


def makers_of(name: str) -> list[str]:
    if name == "services/common/grpc/mesh_callers.cc":
        return ["internal ports"]
    if name == "services/common/postgres/store_failure.cc":
        return ["user", "ticker", "alert", "notifier"]
    service = name.removeprefix("services/").removeprefix("tools/").split("/")[0]
    return ["every service" if service == "common" else service]


def edge_reply(text: str) -> tuple[str, str] | None:
    """(reason, code) of a reply that the edge gives itself; None where it has no ErrorInfo."""
    details = re.search(r"grpc-status-details-bin: (\S+)", text)
    info = details and re.search(rb"google\.rpc\.ErrorInfo\x12.\x0a.([A-Z_]+)", base64.b64decode(details.group(1) + "=="), re.S)
    return info and (info.group(1).decode(), CODES[int(re.search(r"grpc-status: (\d+)", text).group(1))])


def made(root: pathlib.Path) -> Found:
    """{reason: (codes, makers)} of the whole tree."""
    texts = {str(path.relative_to(root)): re.sub(r"(?m)^\s*//.*$", "", path.read_text(encoding="utf-8"))
             for suffix in ("h", "cc") for path in sorted((root / "services").rglob(f"*.{suffix}"))}
    named = constants(texts)
    all_made = [(*one, maker) for name, text in texts.items() for one in made_in(name, text, named) for maker in makers_of(name)]
    # What a status of a library is told as.
    plain = texts.get("services/common/grpc/status_convert.cc", "")
    all_made += [(reason, spell(code), "every service") for code, reason in re.findall(r'case absl::StatusCode::(k\w+):\s+return \{"(\w+)"', plain)]
    replies = [edge_reply(path.read_text(encoding="ascii")) for path in sorted((root / "docker" / "edge" / "replies").glob("*.http"))]
    all_made += [(*reply, "edge") for reply in replies if reply]
    found = {}
    for reason, code, maker in all_made:
        codes, makers = found.setdefault(reason, (set(), set()))
        codes.add(code)
        makers.add(maker)
    return found


def row(reason: str, codes: set[str], makers: set[str], meaning: str) -> str:
    if "every service" in makers:
        makers = makers & {"every service", "edge"}
    return f"| `{reason}` | {', '.join(sorted(codes))} | {', '.join(sorted(makers))} | {meaning} |"


def meanings(table: str) -> dict[str, str]:
    """What the page says that each reason means."""
    return dict(re.findall(r"(?m)^\| `(\w+)` \|[^|]*\|[^|]*\| *(.*?) *\|$", table))


def rewrite(page: str, found: Found) -> tuple[str, list[str]]:
    """The page with the table as the code has it, and what is wrong with the page as it is."""
    head, rest = page.split(BEGIN)
    table, tail = rest.split(END)
    known = meanings(table)
    problems = [f"{reason} is made nowhere any more: run scripts/lib/error_reasons.py" for reason in known if reason not in found]
    problems += [f"{reason} ({', '.join(sorted(found[reason][1]))}) is missing, or nothing says what it means" for reason in found if not known.get(reason)]
    rows = ["| reason | code | made by | what it means, what to do |", "|---|---|---|---|"]
    rows += [row(reason, *found[reason], known.get(reason, "")) for reason in sorted(found)]
    new = head + BEGIN + "\n" + "\n".join(rows) + "\n" + END + tail
    if new != page and not problems:
        problems.append("codes, makers or order do not agree with the code: run scripts/lib/error_reasons.py")
    return new, problems


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__)
        return 2
    path = ROOT / PAGE
    page = path.read_text(encoding="utf-8")
    try:
        new, problems = rewrite(page, made(ROOT))
    except Unreadable as error:
        print(error)
        return 1
    if not sys.argv[1:]:
        path.write_text(new, encoding="utf-8")
        problems = [problem for problem in problems if "nothing says" in problem]
    for problem in problems:
        print(f"{PAGE}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
