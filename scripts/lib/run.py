"""What scripts/run does once everything is built: starts the mesh, shows the demonstration, stays until it is told to stop."""

import argparse
import csv
import datetime
import decimal
import json
import os
import pathlib
import queue
import secrets
import shutil
import sys
import threading
import time

import client
import mesh as meshes
import stack

DATA = stack.ROOT / "services" / "fetcher" / "data" / "aapl-1d.csv"
SYMBOL = "AAPL"
# A year of prices in about this many seconds.
REPLAY_S = 5
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
ON_TERMINAL = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(colour, text):
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if ON_TERMINAL else text


def show(text=""):
    print(text, flush=True)


def say(text):
    show(paint("dim", f"  … {text}"))


class Watcher:
    """Follows a stream on a thread of its own, over restarts of its service, and puts what comes into a queue."""

    def __init__(self, name, read, events):
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

    def end(self):
        self.ended.set()
        if self.stream is not None:
            self.stream.cancel()


class Demonstration:
    def __init__(self, mesh, folder, live):
        self.mesh = mesh
        self.folder = folder
        self.live = live
        self.events = queue.Queue()
        self.watchers = []
        self.cursor = ""
        self.alerts = {}  # Resource name → what it is.
        self.seen = {}  # Alert → how many notifications the stream brought.
        self.fresh_user = False
        self.quotes_unshown = 0
        self.quote_shown_at = 0.0
        self.last_event_time = ""

    # --- the demo user

    def sign_in(self):
        """The user of earlier runs, or a new one."""
        path = self.folder / "demo.json"
        known = {}
        if path.exists():
            known = json.loads(path.read_text())
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
        self.fresh_user = True
        meshes.write_json(path, {"user": self.user, "key": self.key, "email": email})

    def follow(self):
        self.mesh.client.call("user", "FollowTicker", {"parent": self.user, "symbol": SYMBOL}, self.key, timeout_s=20)

    # --- alerts

    def set_alerts(self, price=None):
        """A target, a percent and a trailing alert. Live: near the present price; in the replay: where the year takes it."""
        if price is None:
            target, percent, trailing = "180", "10", "8"
        else:
            target = str((price * decimal.Decimal("1.0005")).quantize(decimal.Decimal("0.01"), rounding=decimal.ROUND_UP))
            percent, trailing = "0.1", "0.1"
        wanted = [
            (f"target: at or above {target}", {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": target}}),
            (f"percent: up {percent} % from now", {"percent_change": {"direction": "DIRECTION_UP", "percent": percent, "reference": "REFERENCE_ARMING"}}),
            (f"trailing: falls {trailing} % from its high", {"trailing_change": {"direction": "DIRECTION_FALLS_FROM_HIGH", "percent": trailing}}),
        ]
        run_id = secrets.token_hex(6)
        for place, (text, condition) in enumerate(wanted):
            alert = {"symbol": SYMBOL, "condition": condition, "note": f"demo, {text}"}
            request = {"parent": self.user, "alert": alert, "request_id": f"demo-{run_id}-{place}"}
            made = self.mesh.client.call("alert", "CreateAlert", request, self.key, timeout_s=20)
            self.alerts[made["name"]] = text
            show(f"  {paint('bold', 'alert')}  {SYMBOL} {text}")

    # --- what comes

    def watch(self):
        self.watchers = [Watcher("notifications", self._read_notifications, self.events), Watcher("quotes", self._read_quotes, self.events)]
        for watcher in self.watchers:
            if not watcher.connected.wait(10):
                say(f"the stream of {watcher.name} has not answered yet")

    def _read_notifications(self, watcher):
        request = {"parent": self.user, "cursor": self.cursor}
        watcher.stream = self.mesh.client.stream("notifier", "WatchNotifications", request, self.key)
        for reply in watcher.stream:
            watcher.connected.set()
            for notification in reply.get("notifications", []):
                self.events.put(("notification", notification))
            self.cursor = reply.get("cursor", self.cursor)

    def _read_quotes(self, watcher):
        # A stream of quotes answers only when there is one.
        watcher.connected.set()
        watcher.stream = self.mesh.client.stream("ticker", "WatchQuotes", {"names": [f"tickers/{SYMBOL}"]}, self.key)
        for reply in watcher.stream:
            for quote in reply.get("quotes", []):
                self.events.put(("quote", quote))

    def show_event(self, kind, value):
        if kind == "notification":
            alert = value.get("alert", "")
            self.seen[alert] = self.seen.get(alert, 0) + 1
            mark = paint("green", "NOTIFICATION") if alert in self.alerts else paint("yellow", "notification")
            what = self.alerts.get(alert) or value.get("summary") or alert
            show(f"  {mark}  {value.get('symbol')} {paint('bold', value.get('price', ''))} at {value.get('event_time', '')}: {what}")
        elif kind == "quote":
            self.quotes_unshown += 1
            self.last_event_time = max(self.last_event_time, value.get("event_time", ""))
            now = time.monotonic()
            if now - self.quote_shown_at >= 0.25:
                more = f"  (and {self.quotes_unshown - 1} more)" if self.quotes_unshown > 1 else ""
                session = value.get("session", "").removeprefix("SESSION_").lower()
                show(paint("cyan", f"  quote  {value.get('symbol')} {value.get('price'):>12}  {value.get('event_time', '')} {session}{more}"))
                self.quotes_unshown = 0
                self.quote_shown_at = now
        elif kind == "broken":
            raise stack.StackError(f"a stream ended: {value}")

    def pump(self, supervisor, until, timeout_s):
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

    def verify(self):
        """Whether each alert of this run fired exactly once, by every account of it."""
        good = True
        for name, text in self.alerts.items():
            alert = self.mesh.client.call("alert", "GetAlert", {"name": name}, self.key)
            triggers = self.mesh.client.list_all("alert", "ListTriggers", "triggers", {"parent": name}, self.key)
            stored = self.mesh.client.list_all("notifier", "ListNotifications", "notifications", {"parent": self.user, "alert": name}, self.key)
            counts = (int(alert.get("trigger_count", 0)), len(triggers), len(stored), self.seen.get(name, 0))
            fine = alert.get("state") == "STATE_TRIGGERED" and counts == (1, 1, 1, 1)
            good = good and fine
            result = paint("green", "fired once") if fine else paint("red", "NOT AS EXPECTED")
            detail = "" if fine else f" (state {alert.get('state')}; counted, triggers, notifications, on the stream: {counts})"
            show(f"  {result}  {text}{detail}")
        return good

    def print_tour(self):
        user, alert, ticker, notifier = (self.mesh.address(name) for name in ("user", "alert", "ticker", "notifier"))
        key = f'-H "authorization: Bearer {self.key}"'
        email = f"me-{secrets.token_hex(3)}@example.com"
        create = f'{{"parent":"users/me","alert":{{"symbol":"{SYMBOL}","condition":{{"price_target":{{"comparison":"COMPARISON_AT_OR_ABOVE","price":"200"}}}},"note":"my first alert"}}}}'
        publish = (f'{{"quotes":[{{"symbol":"{SYMBOL}","price":"200.5","event_time":"\'$(date -u +%FT%TZ)\'","session":"SESSION_REGULAR"}}]}}')
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
        show(f"""  grpcurl -plaintext -H "authorization: Bearer $(cat {self.mesh.folder}/admin_key)" -d '{publish}' {ticker} stockalert.ticker.v1.TickerService/PublishQuotes""")
        show()

    def end(self):
        for watcher in self.watchers:
            watcher.end()


def wipe(folder, mesh):
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


def main():
    parser = argparse.ArgumentParser(prog="scripts/run")
    parser.add_argument("--exit", action="store_true", dest="leave")
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--kafka")
    parser.add_argument("--postgres")
    parser.add_argument("--first-port", type=int, default=50051)
    parser.add_argument("--state")
    parser.add_argument("--no-build", action="store_true")  # Read by scripts/run.
    arguments = parser.parse_args()

    live = bool(os.environ.get("FINNHUB_API_KEY"))
    name = "run-live" if live else "run"
    if arguments.kafka or arguments.postgres:
        name += "-outside"
    folder = pathlib.Path(arguments.state or stack.ROOT / "build" / name).resolve()
    started = time.monotonic()
    lock = stack.Lock(folder)
    mesh = meshes.Mesh(folder, arguments.first_port, arguments.postgres, arguments.kafka, say=say)
    demo = Demonstration(mesh, folder, live)
    state = {"stopped": False}

    def stop():
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
    show(paint("bold", "StockAlert") + (" on live prices" if live else ""))
    if live:
        mesh.start({"SOURCE": "finnhub"})
    else:
        first, last = replay_span()
        speed = (last - first).total_seconds() / REPLAY_S
        # The replay waits for this file: until the alerts are set.
        begin = folder / "replay.begin"
        begin.unlink(missing_ok=True)
        mesh.start({"SOURCE": "replay", "FILE": DATA, "REPLAY_SYMBOL": SYMBOL, "SPEED": f"{speed:.0f}", "REPLAY_RUN": f"demo-{secrets.token_hex(6)}",
                    "REPLAY_START_FILE": begin})
    show(f"  the mesh is up after {time.monotonic() - started:.1f} s; its logs: {folder}/log")
    supervisor = meshes.Supervisor(mesh, say)
    demo.sign_in()
    demo.follow()
    demo.watch()

    good = True
    if live:
        quote = None

        def arrived():
            nonlocal quote
            try:
                quote = mesh.client.call("ticker", "GetQuote", {"name": f"tickers/{SYMBOL}"}, demo.key)
            except client.CallError as error:
                if error.code not in ("UNAVAILABLE", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"):
                    raise
            return quote is not None

        if not demo.pump(supervisor, arrived, 60):
            raise stack.StackError(f"Finnhub gave no price of {SYMBOL} within 60 s; the fetcher's log: {folder}/log/fetcher.log")
        demo.set_alerts(decimal.Decimal(quote["price"]))
    else:
        demo.set_alerts()
        show(f"  {paint('bold', 'replay')}  {DATA.relative_to(stack.ROOT)}: {first:%Y-%m-%d} to {last:%Y-%m-%d}, {speed:,.0f} times as fast as life")
        begin.touch()
        finished = demo.pump(supervisor, lambda: demo.last_event_time >= last.strftime("%Y-%m-%dT%H:%M:%S") and len(demo.seen) >= len(demo.alerts),
                             REPLAY_S + 40)
        # A second notification of one edge would come right behind the first.
        demo.pump(supervisor, lambda: False, 1)
        show()
        if not finished:
            show(paint("red", f"  the replay is at {demo.last_event_time or 'its beginning'}, or alerts have not fired, after {REPLAY_S + 40} s"))
        good = demo.verify() and finished
    show(f"  done after {time.monotonic() - started:.1f} s")
    if arguments.leave:
        return 0 if good else 1
    demo.print_tour()
    show(paint("bold", "Running until Ctrl-C."))
    demo.pump(supervisor, lambda: False, float("inf"))
    return 0


def replay_span():
    """From the first open to a moment before the last close (16:00 in New York is 20:00 UTC in summer, 21:00 in winter)."""
    with open(DATA, newline="", encoding="ascii") as file:
        dates = [row["date"] for row in csv.DictReader(file)]
    at = lambda date, hour: datetime.datetime.fromisoformat(f"{date}T{hour}:00:00+00:00")  # noqa: E731
    return at(dates[0], "13"), at(dates[-1], "19")


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
