#!/usr/bin/python3
"""tests/clients/run.py [--junit=FILE] [LANGUAGE...]: runs docs/clients.md, its commands as they stand there, against a private mesh.

For each language: its tools, the stubs, the build, the example; the example again, through failures and over TLS; and its receiver of
webhooks. Where a language's tools cannot be had, it is skipped, loudly; with CI=true that fails.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import gate  # noqa: E402
import harness  # noqa: E402
import receivers  # noqa: E402
from harness import ROOT, Skip, expect, expect_equal  # noqa: E402

LANGUAGES = ["Python", "Go", "Java", "TypeScript"]
PAGE = ROOT / "docs" / "clients.md"
BLOCK_TIMEOUT_S = 600
# How the lines of an example's output begin, in order.
STORY = ["registered users/", "created users/", "refused INVALID_FIELD", "watching", "notified AAPL", "resumed"]
ENDED = "the stream ended: "
STREAM_S = 2
GO_OF_WEBHOOKS = 21  # Go 1.21: Standard Webhooks' own library asks for it.
# Maven's, even where it is told not to.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def blocks():
    """The page's commands by the headings above them: {("Tools", "Go"): "..."}"""
    found = {}
    section = part = ""
    for heading, title, block in re.findall(r"^(##+) ([^\n]+)$|^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        if heading == "##":
            section, part = title, ""
        elif heading:
            part = title
        else:
            expect((section, part) not in found, f"{PAGE.name} has two blocks of commands under {section} {part}")
            found[(section, part)] = block
    return found


def run_commands(commands, env=None, on_line=lambda line: None):
    """Runs them in a shell from the top of the checkout. Answers (exit code, lines of output), each line told to `on_line` as it comes."""
    # Another mesh's addresses or authority do not count here.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STOCKALERT_")}
    with subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, env={**inherited, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as shell:
        def kill():
            os.killpg(shell.pid, signal.SIGKILL)
        watchdog = threading.Timer(BLOCK_TIMEOUT_S, kill)
        watchdog.start()
        lines = []
        try:
            for line in shell.stdout:
                lines.append(COLOUR.sub("", line.rstrip("\n")))
                on_line(lines[-1])
        except BaseException:
            kill()
            raise
        finally:
            watchdog.cancel()
    return shell.returncode, lines


class World(harness.World):
    """One mesh for the examples, which publish its prices themselves."""

    def __init__(self, folder, languages):
        super().__init__(folder)
        self.mesh.prices_partitions = 8
        self.languages = languages
        self.blocks = blocks()
        self.missing = dict.fromkeys(languages, "its tools were not prepared")

    def need(self, language):
        if language in self.missing:
            raise Skip(f"{language}: {self.missing[language]}")

    def start_for(self, language):
        """The mesh, where the language can be run."""
        self.need(language)
        if not self.started:
            try:
                self.mesh.start({"SOURCE": "publish"})
            except harness.stack.StackError:
                self.mesh.stop()  # The next case begins anew.
                raise
            self.started = True
        return self.mesh

    def run_example(self, language, addresses=None, env=None, on_line=lambda line: None):
        """As the page says, against this mesh, or against other addresses of its services. Answers the lines printed."""
        sourcing = self.blocks[("Run", "")]
        expect("build/run/env" in sourcing, f"{PAGE.name} does not say where the addresses come from")
        commands = [sourcing.replace("build/run/env", shlex.quote(str(self.mesh.folder / "env")))]
        commands += [f"export STOCKALERT_{service.upper()}_ADDRESS={address}" for service, address in (addresses or {}).items()]
        code, lines = run_commands("\n".join([*commands, self.blocks[("Run", language)]]), env, on_line)
        output = "\n".join(lines)
        expect_equal(code, 0, f"the exit code of the example in {language}, which said\n{output}\n")
        told = [line for line in lines if line.startswith(tuple(STORY))]
        expect(len(told) == len(STORY) and all(line.startswith(begin) for line, begin in zip(told, STORY)), f"another story:\n{output}")
        expect_equal(re.findall(r"\b20\d\b", told[-1]), ["201", "202", "203"], "the prices notified")
        expect("sak_" not in output, "it printed its key")
        user = told[0].split(" ")[1]
        with harness.refused("NOT_FOUND"):
            self.call("user", "GetUser", {"name": user}, self.mesh.admin_key)
        return lines


def tools(world, language):
    """What a language needs: by the network where it is not there yet."""
    shutil.rmtree(ROOT / "build" / "clients" / language.lower() / "gen", ignore_errors=True)
    code, lines = run_commands(world.blocks[("Tools", language)])
    if code == 0:
        del world.missing[language]
        return
    world.missing[language] = "its tools could not be had"
    tail = "\n".join(lines[-8:])
    expect(os.environ.get("CI") != "true", f"{language}'s tools could not be had:\n{tail}")
    raise Skip(f"{language}'s tools could not be had: {tail}")


def generate(world):
    ready = [language for language in world.languages if language not in world.missing]
    if not ready:
        raise Skip("no language's tools could be had")
    commands = world.blocks[("Build", "")]
    every = " ".join(LANGUAGES).lower()
    expect(every in commands, f"{PAGE.name} does not name the languages of the stubs as {every}")
    # Those whose tools are there, as the page says.
    code, lines = run_commands(commands.replace(every, " ".join(ready).lower()))
    tail = "\n".join(lines[-8:])
    if code == 69 and os.environ.get("CI") != "true":
        world.missing = dict.fromkeys(world.languages, "buf could not be had")
        raise Skip(tail)
    expect_equal(code, 0, f"buf generate, which said\n{tail}\n")
    for language in ready:
        made = [path for path in (ROOT / "build" / "clients" / language.lower() / "gen").rglob("*") if path.is_file()]
        expect(any("alert" in path.name.lower() for path in made), f"no stubs for {language}")
        internal = [path for path in made if "internal" in path.parts]
        expect_equal(internal, [], "stubs of internal services")


def build(world, language):
    world.need(language)
    code, lines = run_commands(world.blocks[("Build", language)])
    expect_equal(code, 0, f"the build in {language}, which said\n" + "\n".join(lines[-20:]) + "\n")


def ends(lines):
    """The codes with which streams ended, in the spelling that all languages' come to."""
    return [line[len(ENDED):].split(";")[0].replace("_", "").upper() for line in lines if line.startswith(ENDED)]


def example(world, language):
    world.start_for(language)
    lines = world.run_example(language)
    expect_equal(ends(lines), [], "the codes of streams that ended where nobody ended them")


def through_failures(world, language):
    """The alert service's first connection is refused: only a retry comes through. The notifier is killed while it is watched, before the
    price that notifies is published: only a watch that is resumed sees it."""
    mesh = world.start_for(language)
    with gate.Gate(mesh.address("alert"), refuse=1) as refusing, gate.Gate(mesh.address("ticker"), held=True) as held:
        def on_line(line):
            if line == "watching":
                mesh.services["notifier"].kill()
                mesh.services["notifier"].start()
                held.release()
        try:
            lines = world.run_example(language, {"alert": refusing.address, "ticker": held.address}, on_line=on_line)
        finally:
            mesh.await_ready(["notifier"])
        expect_equal(refusing.refused, 1, "connections refused")
    expect(ends(lines), "the watch did not tell that its stream ended")


def past_deadlines(world, language):
    """Every price is published later than the stream's deadline, of the first watch as of the second: only watches that are resumed see them,
    and only those that go on from their last cursor see each once."""
    mesh = world.start_for(language)
    with gate.Gate(mesh.address("ticker"), delay_s=STREAM_S + 1) as slow:
        lines = world.run_example(language, {"ticker": slow.address}, env={"STOCKALERT_STREAM_SECONDS": str(STREAM_S)})
    codes = ends(lines)
    expect(len(codes) >= 2 and set(codes) == {"DEADLINEEXCEEDED"}, f"streams ended with {codes}")
    resumed = next(at for at, line in enumerate(lines) if line.startswith("notified"))
    expect(ends(lines[:resumed]) and ends(lines[resumed:]), "a watch did not outlive its stream")


def over_tls(world, language):
    mesh = world.start_for(language)
    tls = gate.self_signed(world.folder)
    names = ["user", "alert", "ticker", "notifier"]
    with gate.Gate(mesh.address("user"), tls=tls) as user, gate.Gate(mesh.address("alert"), tls=tls) as alert, \
            gate.Gate(mesh.address("ticker"), tls=tls) as ticker, gate.Gate(mesh.address("notifier"), tls=tls) as notifier:
        gates = dict(zip(names, (user, alert, ticker, notifier)))
        world.run_example(language, {name: one.address for name, one in gates.items()}, env={"STOCKALERT_CA_FILE": str(tls[0])})
        expect(all(one.passed for one in gates.values()), "a service was not called over TLS")


def receiver(world, language, **keys):
    """The language's receiver, as the page starts it."""
    world.need(language)
    if language == "Go":
        version = re.search(r"go1\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout)
        if int(version.group(1)) < GO_OF_WEBHOOKS:
            raise Skip(f"the library of Standard Webhooks needs Go 1.{GO_OF_WEBHOOKS}, and here is {version.group(0)}")
    return receivers.Receiver(world.blocks[("Receive webhooks", language)], **keys)


def expect_taken(receiving, message, line="received alert.triggered"):
    expect_equal(receiving.send(message)[0], 204, f"the answer to {message.headers}")
    receiving.await_line(f"{line} {message.id}")


def expect_refused(receiving, message, **instead):
    expect_equal(receiving.send(message, **instead)[0], 401, f"the answer to {message.headers}, {instead}")
    receiving.await_line("refused: ")


def receives(world, language):
    """By the secret: signatures of one kind and of both, what is sent again, the challenge, and all that must be refused."""
    keys, strange = receivers.Keys(), receivers.Keys()
    with receiver(world, language, secret=keys.secret) as receiving:
        once = receivers.Message(keys.v1)
        expect_taken(receiving, once)
        expect_taken(receiving, once, "repeated")
        expect_taken(receiving, receivers.Message(keys.v1, keys.v1a))
        expect_taken(receiving, receivers.Message(keys.v1a, keys.v1))
        asked = {"kind": "destination.verification", "data": {"challenge": "c-7Q_x"}}
        status, answer = receiving.send(receivers.Message(keys.v1, keys.v1a, **asked))
        expect_equal((status, json.loads(answer)), (200, {"challenge": "c-7Q_x"}), "the answer to a challenge")
        receiving.await_line("verified")
        expect_refused(receiving, receivers.Message(strange.v1, strange.v1a, **asked))
        expect_refused(receiving, receivers.Message(keys.v1a))
        expect_refused(receiving, once, body=once.body.replace(b"150", b"151"))
        expect_refused(receiving, once, headers={**once.headers, "webhook-id": "msg_other"})
        expect_refused(receiving, receivers.Message(keys.v1, age_s=600))
        expect_refused(receiving, receivers.Message(keys.v1, age_s=-600))
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            expect_refused(receiving, once, headers={other: value for other, value in once.headers.items() if other != name})
        expect_equal(receiving.send(once, body=b" " * 100_000)[0], 413, "the answer to a large body")


def receives_by_public_key(world, language):
    keys, strange = receivers.Keys(), receivers.Keys()
    with receiver(world, language, public_key=keys.public) as receiving:
        once = receivers.Message(keys.v1, keys.v1a)
        expect_taken(receiving, once)
        expect_taken(receiving, receivers.Message(keys.v1a))
        expect_refused(receiving, receivers.Message(keys.v1))
        expect_refused(receiving, receivers.Message(strange.v1a))
        expect_refused(receiving, once, body=once.body.replace(b"150", b"151"))
        expect_refused(receiving, receivers.Message(keys.v1a, age_s=600))
        expect_refused(receiving, once, headers={})
    # Who holds both verifies by both.
    with receiver(world, language, secret=keys.secret, public_key=keys.public) as receiving:
        expect_taken(receiving, once)
        expect_refused(receiving, receivers.Message(keys.v1, strange.v1a))
        expect_refused(receiving, receivers.Message(strange.v1, keys.v1a))
    with receiver(world, language) as receiving:
        expect_refused(receiving, once)


def receives_through_a_rotation(world, language):
    """The receiver has the old keys, then the new ones: what both sign passes, in either order."""
    old, new = receivers.Keys(), receivers.Keys()
    for held, gone in ((old, new), (new, old)):
        with receiver(world, language, secret=held.secret, public_key=held.public) as receiving:
            expect_taken(receiving, receivers.Message(held.v1, held.v1a))
            expect_taken(receiving, receivers.Message(new.v1, old.v1, new.v1a, old.v1a))
            expect_taken(receiving, receivers.Message(old.v1, old.v1a, new.v1, new.v1a))
            expect_refused(receiving, receivers.Message(gone.v1, gone.v1a))


def main():
    parser = argparse.ArgumentParser(prog="tests/clients/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--junit")
    parser.add_argument("--receivers", action="store_true", help="the receivers of webhooks alone")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; all where none is named")
    arguments = parser.parse_args()
    unknown = set(arguments.languages) - set(LANGUAGES)
    if unknown:
        parser.error(f"no example in {', '.join(sorted(unknown))}; there is {', '.join(LANGUAGES)}")
    languages = [language for language in LANGUAGES if language in (arguments.languages or LANGUAGES)]

    def case(function, language):
        return lambda world: function(world, language)
    world = World(harness.new_folder("clients"), languages)
    cases = [(f"tools/{language}", case(tools, language)) for language in languages]
    cases.append(("generate", generate))
    for language in languages:
        # Not every language needs a build.
        steps = [("build", build)] if ("Build", language) in world.blocks else []
        if not arguments.receivers:
            steps += [("example", example), ("through failures", through_failures), ("past deadlines", past_deadlines), ("over TLS", over_tls)]
        steps += [("receiver", receives), ("receiver by public key", receives_by_public_key), ("receiver through a rotation", receives_through_a_rotation)]
        cases += [(f"{language}/{name}", case(function, language)) for name, function in steps]
    return harness.run_cases(cases, world.folder, arguments.junit, tier="clients", world=world)


if __name__ == "__main__":
    sys.exit(main())
