"""What scripts/run does once everything is built: starts the mesh, shows the demonstration, stays until it is told to stop."""

import argparse
import csv
import decimal
import json
import os
import pathlib
import queue
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import client
import mesh as meshes
import stack
import webhooks

DATA = stack.ROOT / "services" / "fetcher" / "data" / "five-1d.csv"
# What is followed live. The first one is that of the examples.
LIVE_SYMBOLS = ("AAPL", "GOOG", "IBM", "META", "MSFT")
# A file of bars takes about this many seconds.
REPLAY_S = 5
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
ON_TERMINAL = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

# What the demonstration calls its own destination.
DESTINATION = "scripts/run"

# Words for it, and as the API has it.
Condition = tuple[str, dict[str, Any]]


def paint(colour: str, text: str) -> str:
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if ON_TERMINAL else text


def show(text: str = "") -> None:
    print(text, flush=True)


def say(text: str) -> None:
    show(paint("dim", f"  … {text}"))


def read_demo(folder: pathlib.Path) -> dict[str, Any]:
    """Who the demonstration's user is, where there was one before."""
    path = folder / "demo.json"
    return json.loads(path.read_text()) if path.exists() else {}


class Watcher:
    """Follows a stream on a thread of its own, over restarts of its service, and puts what comes into a queue."""

    def __init__(self, name: str, read: Callable[["Watcher"], None], events: queue.Queue[tuple[str, Any]]):
        self.name = name
        self.read = read
        self.events = events
        self.connected = threading.Event()
        self.ended = threading.Event()
        self.stream = None
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended.is_set():
            try:
                self.read(self)
            except client.CallError as error:
                if error.code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND"):
                    self.events.put(("broken", f"{self.name}: {error}"))
                    return
            except ValueError:
                return  # The channel has been closed under it.
            self.ended.wait(0.3)

    def end(self) -> None:
        self.ended.set()
        if self.stream is not None:
            self.stream.cancel()


def target(comparison: str, price: str) -> Condition:
    words = {"AT_OR_ABOVE": "at or above", "AT_OR_BELOW": "at or below"}[comparison]
    return f"target: {words} {price}", {"price_target": {"comparison": f"COMPARISON_{comparison}", "price": price}}


def percent(direction: str, percent_: str) -> Condition:
    words = {"UP": "up", "EITHER": "either way by"}[direction]
    condition = {"direction": f"DIRECTION_{direction}", "percent": percent_, "reference": "REFERENCE_ARMING"}
    return f"percent: {words} {percent_} % from now", {"percent_change": condition}


def trailing(percent_: str) -> Condition:
    return f"trailing: falls {percent_} % from its high", {"trailing_change": {"direction": "DIRECTION_FALLS_FROM_HIGH", "percent": percent_}}


def leaves(low: str, high: str) -> Condition:
    return f"channel: leaves {low} to {high}", {"channel": {"transition": "TRANSITION_LEAVES", "low": low, "high": high}}


# Each is met by the prices of DATA.
DEMONSTRATED = {"AAPL": target("AT_OR_ABOVE", "700"), "FB": target("AT_OR_BELOW", "20"), "GOOG": percent("UP", "10"), "IBM": trailing("8"),
                "MSFT": leaves("27", "32")}


class Replay:
    """A file of past prices: its symbols and how many rows it has. The fetcher reads it, and says what is wrong with it."""

    def __init__(self, file: pathlib.Path | str):
        self.file = pathlib.Path(file).resolve()
        try:
            with open(self.file, newline="", encoding="utf-8") as lines:
                rows = [{(name or "").strip().lower(): value for name, value in row.items()} for row in csv.DictReader(lines)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise stack.StackError(f"--file cannot be read: {error}") from error
        if not rows:
            raise stack.StackError(f"--file={file} has no rows below its header")
        own = re.split(r"[-_.]", self.file.name)[0].upper()
        self.symbols = sorted({(row.get("symbol") or own).strip().upper() for row in rows})
        # A bar is four quotes. A large file takes longer than REPLAY_S.
        self.quotes_per_s = min(20_000, max(1, len(rows) * (4 if "open" in rows[0] else 1) // REPLAY_S))
        self.dates = None if self.file != DATA else (rows[0]["date"], rows[-1]["date"])
        self.wanted = DEMONSTRATED if self.file == DATA else {symbol: percent("EITHER", "2") for symbol in self.symbols[:5]}

    def __str__(self):
        name = self.file.relative_to(stack.ROOT) if self.file.is_relative_to(stack.ROOT) else self.file
        return f"{name}" + (f": {' to '.join(self.dates)}" if self.dates else "")


class Demonstration:
    def __init__(self, mesh: meshes.Mesh, folder: pathlib.Path, symbols: list[str]):
        self.mesh = mesh
        self.folder = folder
        self.symbols = symbols
        self.events = queue.Queue()
        self.watchers = []
        self.cursor = ""
        self.alerts = {}  # Resource name → what it is.
        self.seen = {}  # Alert → how many notifications the stream brought.
        self.delivered = {}  # Alert → how many webhooks came.
        self.receiver = None
        self.quotes_unshown = 0
        self.quote_shown_at = 0.0

    # --- the demo user

    def sign_in(self) -> None:
        """The user of earlier runs, or a new one."""
        known = read_demo(self.folder)
        if known:
            try:
                self.mesh.client.call("user", "GetUser", {"name": known["user"]}, known["key"])
                self.user, self.key = known["user"], known["key"]
                return
            except client.CallError as error:
                if error.code not in ("UNAUTHENTICATED", "NOT_FOUND"):
                    raise
        email = f"demo-{secrets.token_hex(4)}@example.com"
        reply = self.mesh.client.call("user", "RegisterUser", {"user": {"email": email, "display_name": "Demo"}})
        self.user, self.key = reply["user"]["name"], reply["secret"]
        meshes.write_json(self.folder / "demo.json", {"user": self.user, "key": self.key, "email": email, "begun": False})

    def begin(self) -> None:
        """From here on alerts may be set that a later start must not wake."""
        meshes.write_json(self.folder / "demo.json", {**read_demo(self.folder), "begun": True})

    def follow(self) -> None:
        for symbol in self.symbols:
            self.mesh.client.call("user", "FollowTicker", {"parent": self.user, "symbol": symbol}, self.key, timeout_s=20)

    # --- webhooks

    def receive(self) -> None:
        """Has the notifications sent to this process, too: to the destination of earlier runs, whose verification still holds, or to a new one."""
        known = read_demo(self.folder).get("webhook", {})
        if not (known and self._receive_again(known)):
            self._receive_anew()
        show(f"  {paint('bold', 'webhook')}  {self.receiver.url}, verified")

    def _listen(self, port: int = 0) -> webhooks.Receiver:
        return webhooks.Receiver(port, on_message=lambda message: self.events.put(("webhook", message)))

    def _destination(self, name: str) -> dict[str, Any]:
        try:
            return self.mesh.client.call("destination", "GetDestination", {"name": name}, self.key)
        except client.CallError as error:
            if error.code != "NOT_FOUND":
                raise
            return {}

    def _receive_again(self, known: dict[str, Any]) -> bool:
        """Whether the destination is still there and its port free."""
        if self._destination(known["name"]).get("state") != "STATE_ACTIVE":
            return False
        # Nothing of an earlier run is to come now.
        while self.mesh.client.call("destination", "CancelDeliveries", {"name": known["name"]}, self.key).get("cancelled_count"):
            pass
        try:
            self.receiver = self._listen(known["port"])
        except OSError:
            return False
        self.receiver.secret = known["secret"]
        return True

    def _receive_anew(self) -> None:
        for destination in self.mesh.client.list_all("destination", "ListDestinations", "destinations", {"parent": self.user}, self.key):
            if destination.get("display_name") == DESTINATION:
                self.mesh.client.call("destination", "DeleteDestination", {"name": destination["name"]}, self.key)
        self.receiver = self._listen()
        request = {"parent": self.user, "destination": {"display_name": DESTINATION, "webhook": {"url": self.receiver.url}}}
        made = self.mesh.client.call("destination", "CreateDestination", request, self.key)
        self.receiver.secret = made["secret"]
        name = made["destination"]["name"]
        stack.wait_for("the verification of the webhook", lambda: self._destination(name).get("state") == "STATE_ACTIVE", 30)
        webhook = {"name": name, "secret": made["secret"], "port": self.receiver.port}
        meshes.write_json(self.folder / "demo.json", {**read_demo(self.folder), "webhook": webhook})

    # --- alerts

    def set_alerts(self, wanted: dict[str, Condition]) -> None:
        """One for each (symbol, (what people call it, condition))."""
        run_id = secrets.token_hex(6)
        for place, (symbol, (text, condition)) in enumerate(wanted):
            alert = {"symbol": symbol, "condition": condition, "note": f"demo, {text}"}
            request = {"parent": self.user, "alert": alert, "request_id": f"demo-{run_id}-{place}"}
            made = self.mesh.client.call("alert", "CreateAlert", request, self.key, timeout_s=20)
            self.alerts[made["name"]] = text
            show(f"  {paint('bold', 'alert')}  {symbol} {text}")

    # --- what comes

    def watch(self) -> None:
        self.watchers = [Watcher("notifications", self._read_notifications, self.events), Watcher("quotes", self._read_quotes, self.events)]
        for watcher in self.watchers:
            if not watcher.connected.wait(10):
                say(f"the stream of {watcher.name} has not answered yet")

    def _read_notifications(self, watcher: Watcher):
        request = {"parent": self.user, "cursor": self.cursor}
        watcher.stream = self.mesh.client.stream("notifier", "WatchNotifications", request, self.key)
        for reply in watcher.stream:
            watcher.connected.set()
            for notification in reply.get("notifications", []):
                self.events.put(("notification", notification))
            self.cursor = reply.get("cursor", self.cursor)

    def _read_quotes(self, watcher: Watcher):
        # A stream of quotes answers only when there is one.
        watcher.connected.set()
        watcher.stream = self.mesh.client.stream("ticker", "WatchQuotes", {"names": [f"tickers/{symbol}" for symbol in self.symbols]}, self.key)
        for reply in watcher.stream:
            for quote in reply.get("quotes", []):
                self.events.put(("quote", quote))

    def show_event(self, kind: str, value: Any) -> None:
        if kind == "notification":
            alert = value.get("alert", "")
            self.seen[alert] = self.seen.get(alert, 0) + 1
            mark = paint("green", "NOTIFICATION") if alert in self.alerts else paint("yellow", "notification")
            what = self.alerts.get(alert) or value.get("summary") or alert
            show(f"  {mark}  {value.get('symbol')} {paint('bold', value.get('price', ''))} at {value.get('event_time', '')}: {what}")
        elif kind == "webhook":
            data = value.content["data"]
            alert = data.get("alert", "")
            self.delivered[alert] = self.delivered.get(alert, 0) + 1
            show(f"  {paint('green', 'WEBHOOK')}  {value.type}  {data.get('title', '')}  {paint('dim', value.id)}")
        elif kind == "quote":
            self.quotes_unshown += 1
            now = time.monotonic()
            if now - self.quote_shown_at >= 0.25:
                more = f"  (and {self.quotes_unshown - 1} more)" if self.quotes_unshown > 1 else ""
                session = value.get("session", "").removeprefix("SESSION_").lower()
                show(paint("cyan", f"  quote  {value.get('symbol')} {value.get('price'):>12}  {value.get('event_time', '')} {session}{more}"))
                self.quotes_unshown = 0
                self.quote_shown_at = now
        elif kind == "broken":
            raise stack.StackError(f"a stream ended: {value}")

    def pump(self, supervisor: meshes.Supervisor, until: Callable[[], bool], timeout_s: float) -> bool:
        """Shows what comes until `until` says so; answers whether it did in time."""
        deadline = time.monotonic() + timeout_s
        checked = 0.0
        while True:
            try:
                self.show_event(*self.events.get(timeout=0.1))
                continue
            except queue.Empty:
                pass
            if until():
                return True
            now = time.monotonic()
            if now > deadline:
                return False
            if now - checked > 1:
                supervisor.check()
                checked = now

    def verify(self) -> bool:
        """Whether each alert of this run fired exactly once, by every account of it."""
        good = True
        for name, text in self.alerts.items():
            alert = self.mesh.client.call("alert", "GetAlert", {"name": name}, self.key)
            triggers = self.mesh.client.list_all("alert", "ListTriggers", "triggers", {"parent": name}, self.key)
            stored = self.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": self.user, "alert": name}, self.key)
            counts = (int(alert.get("trigger_count", 0)), len(triggers), len(stored), self.seen.get(name, 0), self.delivered.get(name, 0))
            fine = alert.get("state") == "STATE_TRIGGERED" and counts == (1, 1, 1, 1, 1)
            good = good and fine
            result = paint("green", "fired once") if fine else paint("red", "NOT AS EXPECTED")
            detail = "" if fine else f" (state {alert.get('state')}; counted, triggers, notifications, on the stream, webhooks: {counts})"
            show(f"  {result}  {alert.get('symbol')} {text}{detail}")
        return good

    def print_tour(self) -> None:
        user, alert, ticker, notifier = (self.mesh.address(name) for name in ("user", "alert", "ticker", "notifier"))
        key = f'-H "authorization: Bearer {self.key}"'
        email = f"me-{secrets.token_hex(3)}@example.com"
        symbol = self.symbols[0]
        create = (f'{{"parent":"users/me","alert":{{"symbol":"{symbol}","condition":{{"price_target":{{"comparison":"COMPARISON_AT_OR_ABOVE",'
                  f'"price":"500"}}}},"note":"my first alert"}}}}')
        publish = (f'{{"quotes":[{{"symbol":"{symbol}","price":"500.5","event_time":"\'$(date -u +%FT%TZ)\'","session":"SESSION_REGULAR"}}]}}')
        show()
        show(paint("bold", "Try it, in another terminal:"))
        show("  # these are the services' own ports, without the edge of compose and the chart: for this machine alone")
        show("  # grpcurl, where it is not there yet (with Debian's Go, golang-go; it lands in ~/go/bin)")
        show("  go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9")
        show("  # what there is to call")
        show(f"  grpcurl -plaintext {alert} list stockalert.alert.v1.AlertService")
        show("  # become a user: the key is shown this once")
        show(f"""  grpcurl -plaintext -d '{{"user":{{"email":"{email}","display_name":"Me"}}}}' {user} stockalert.user.v1.UserService/RegisterUser""")
        show("  # an alert, as the demo user")
        show(f"  grpcurl -plaintext {key} -d '{create}' {alert} stockalert.alert.v1.AlertService/CreateAlert")
        show("  # its notification, as it comes (Ctrl-C ends it)")
        show(f"""  grpcurl -plaintext {key} -d '{{"parent":"users/me"}}' {notifier} stockalert.notification.v1.NotificationService/WatchNotifications""")
        show("  # a price that makes it fire, as the administrator (a third terminal, in this folder)")
        show(f"""  grpcurl -plaintext -H "authorization: Bearer $(cat {self.mesh.folder}/admin_key)" -d '{publish}' {ticker} """
             "stockalert.ticker.v1.TickerService/PublishQuotes")
        show()

    def end(self) -> None:
        for watcher in self.watchers:
            watcher.end()
        if self.receiver is not None:
            self.receiver.close()


def wipe(folder: pathlib.Path, mesh: meshes.Mesh) -> None:
    say(f"wiping {folder}")
    if mesh.postgres:
        mesh.postgres.wipe()
    for path in list(folder.iterdir()):
        if path.name == "lock":
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def run_live(demo: Demonstration, supervisor: meshes.Supervisor) -> bool:
    """Alerts near the present price."""
    symbol = demo.symbols[0]
    quote = None

    def arrived() -> bool:
        nonlocal quote
        try:
            quote = demo.mesh.client.call("ticker", "GetQuote", {"name": f"tickers/{symbol}"}, demo.key)
        except client.CallError as error:
            if error.code not in ("UNAVAILABLE", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"):
                raise
        return quote is not None

    if not demo.pump(supervisor, arrived, 60):
        raise stack.StackError(f"Finnhub gave no price of {symbol} within 60 s; the fetcher's log: {demo.folder}/log/fetcher.log")
    near = (decimal.Decimal(quote["price"]) * decimal.Decimal("1.0005")).quantize(decimal.Decimal("0.01"), rounding=decimal.ROUND_UP)
    demo.set_alerts([(symbol, target("AT_OR_ABOVE", str(near))), (symbol, percent("UP", "0.1")), (symbol, trailing("0.1"))])
    return True


def run_replay(demo: Demonstration, supervisor: meshes.Supervisor, replay: Replay, begin: bool) -> bool:
    """Alerts, then the file; answers whether all of it came as it should."""
    demo.set_alerts(replay.wanted.items())
    show(f"  {paint('bold', 'replay')}  {replay}")
    begin.touch()

    def finished() -> bool:
        figures = demo.mesh.metrics("fetcher")
        return figures.get("stockalert_fetcher_replay_position") == figures["stockalert_fetcher_replay_quotes"]

    shipped = replay.file == DATA
    patience_s = REPLAY_S + 40 if shipped else float("inf")
    in_time = demo.pump(supervisor, lambda: finished() and (
        not shipped or min(len(demo.seen), len(demo.delivered)) >= len(demo.alerts)), patience_s)
    # A second notification of one edge would come right behind the first.
    demo.pump(supervisor, lambda: False, 1)
    show()
    if not in_time:
        show(paint("red", f"  the replay has not come to its end, or alerts have not fired, after {patience_s} s; its log: {demo.folder}/log/fetcher.log"))
    # What another file's prices do to its alerts nobody knows before.
    return in_time and (not shipped or demo.verify())


def choose_source(given: str | None, file: str | None, was_here: bool) -> str:
    """What brings prices: as it was said, else what is there. Old prices come over alerts of an earlier run only if they are asked for."""
    if given is None and file is not None:
        return "replay"
    if given is None and os.environ.get("FINNHUB_API_KEY"):
        return "finnhub"
    if given == "finnhub" and not os.environ.get("FINNHUB_API_KEY"):
        raise stack.StackError("--source=finnhub needs a key of your own: FINNHUB_API_KEY=... scripts/run")
    if given in ("finnhub", "publish") and file is not None:
        raise stack.StackError("--file is what --source=replay replays")
    return given or ("publish" if was_here else "replay")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/run")
    parser.add_argument("--exit", action="store_true", dest="leave")
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--source", choices=["publish", "replay", "finnhub"])
    parser.add_argument("--file")
    parser.add_argument("--kafka")
    parser.add_argument("--postgres")
    parser.add_argument("--first-port", type=int)
    parser.add_argument("--state")
    parser.add_argument("--no-build", action="store_true")  # Read by scripts/run.
    arguments = parser.parse_args()

    name = "run-live" if choose_source(arguments.source, arguments.file, False) == "finnhub" else "run"
    if arguments.kafka or arguments.postgres:
        name += "-outside"
    folder = pathlib.Path(arguments.state or stack.ROOT / "build" / name).resolve()
    # Whether somebody may have set alerts here before.
    was_here = not arguments.reset and read_demo(folder).get("begun", (folder / "demo.json").exists())
    source = choose_source(arguments.source, arguments.file, was_here)
    replay = Replay(arguments.file or DATA) if source == "replay" else None
    started = time.monotonic()
    lock = stack.Lock(folder)
    mesh = meshes.Mesh(folder, arguments.first_port, arguments.postgres, arguments.kafka, say=say)
    demo = Demonstration(mesh, folder, LIVE_SYMBOLS if source == "finnhub" else (replay or Replay(DATA)).symbols)
    state = {"stopped": False}

    def stop() -> None:
        if state["stopped"]:
            return
        state["stopped"] = True
        demo.end()
        if mesh.processes():
            show(paint("dim", "  stopping"))
        killed = mesh.stop()
        if killed:
            show(paint("yellow", f"  had to be killed: {', '.join(killed)}"))
        lock.file.close()

    stack.run_at_exit(stop)
    if arguments.reset:
        wipe(folder, mesh)
    show(paint("bold", "StockAlert") + (" on live prices" if source == "finnhub" else ""))
    # The replay waits for this file: until the alerts are set.
    begin = folder / "replay.begin"
    begin.unlink(missing_ok=True)
    settings = {"SOURCE": source}
    if replay:
        settings.update(FILE=replay.file, SPEED="1e12", QUOTES_PER_S_MAX=replay.quotes_per_s, REPLAY_RUN=f"demo-{secrets.token_hex(6)}",
                        REPLAY_START_FILE=begin)
    mesh.start(settings)
    show(f"  the mesh is up after {time.monotonic() - started:.1f} s; its logs: {folder}/log")
    supervisor = meshes.Supervisor(mesh, say)
    demo.sign_in()
    demo.receive()
    demo.follow()
    demo.watch()
    demo.begin()

    good = True
    if source == "finnhub":
        good = run_live(demo, supervisor)
    elif source == "replay":
        if was_here:
            show(f"  {paint('yellow', 'as you asked')}, old prices come again: every alert on {', '.join(replay.symbols)} is armed anew, and may fire on them")
        good = run_replay(demo, supervisor, replay, begin)
    elif was_here and arguments.source is None:
        show(f"  {paint('yellow', 'nothing is replayed')}: what earlier runs set and saw is kept, and old prices would fire alerts that wait for new ones.")
        show("  Prices come by PublishQuotes alone. --source=replay replays all the same, --reset begins anew.")
    else:
        show("  prices come by PublishQuotes alone")
    show(f"  done after {time.monotonic() - started:.1f} s")
    if arguments.leave:
        return 0 if good else 1
    demo.print_tour()
    show(paint("bold", "Running until Ctrl-C."))
    demo.pump(supervisor, lambda: False, float("inf"))
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except stack.StackError as error:
        show(paint("red", f"run: {error}"))
        code = 1
    except client.CallError as error:
        show(paint("red", f"run: a call failed: {error}"))
        code = 1
    except SystemExit as stop:
        code = stop.code or 0
    sys.exit(code)
