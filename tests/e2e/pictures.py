"""From prices to a mail with their picture, by a real mail server."""

import base64
import json
import re
import secrets
import struct
import subprocess
import threading
import zlib

from harness import ROOT, await_true, expect, expect_equal, timestamp

MAIL_S = 30
ADDRESS = "ann@example.net"


class MailServer:
    """tests/support/mail_server/mail_server.py as a process, and the mails that it took."""

    def __enter__(self):
        self.mails = []
        self.process = subprocess.Popen(["/usr/bin/python3", str(ROOT / "tests/support/mail_server/mail_server.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        return self

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "mail":
                self.mails.append(event)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def await_mail(self, fits):
        await_true("the mail", lambda: any(fits(mail) for mail in list(self.mails)), MAIL_S)
        return next(mail for mail in self.mails if fits(mail))


def size_of_png(data):
    """Width and height, where each chunk is whole."""
    expect_equal(data[:8], b"\x89PNG\r\n\x1a\n", "how the picture begins")
    at, names = 8, []
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        expect_equal(struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0], zlib.crc32(name + body), f"the check of {name}")
        names.append(name)
        at += 12 + length
    expect((names[0], names[-1]) == (b"IHDR", b"IEND"), f"chunks {names}")
    return struct.unpack(">II", data[16:24])


def verify(world, server, key):
    made = world.call("destination", "CreateDestination",
                      {"parent": "users/me", "destination": {"display_name": "mail", "email": {"address": ADDRESS}}}, key)
    mail = server.await_mail(lambda one: one["to"] == [ADDRESS])
    code = re.search(r"within 30 minutes: (\S+)", mail["plain"]["text"]).group(1)
    destination = world.call("destination", "VerifyDestination", {"name": made["destination"]["name"], "code": code}, key)
    expect_equal(destination["state"], "STATE_ACTIVE", "the mailbox")


def publish(world, symbol, prices, minutes_ago):
    """A minute apart, the first one so long ago."""
    quotes = [{"symbol": symbol, "price": price, "event_time": timestamp(60 * (place - minutes_ago)), "session": "SESSION_REGULAR"}
              for place, price in enumerate(prices)]
    outcomes = world.call("ticker", "PublishQuotes", {"quotes": quotes}, world.mesh.admin_key)["outcomes"]
    expect_equal({outcome["verdict"] for outcome in outcomes}, {"VERDICT_ACCEPTED"}, "what became of the prices")


def mail_has_a_picture(world):
    mesh = world.start()
    if mesh.fetcher_settings["SOURCE"] != "publish":
        mesh.restart("fetcher", {"SOURCE": "publish"})
    notifier = mesh.services["notifier"]
    usual = notifier.env
    with MailServer() as server:
        notifier.env = {**usual, "STOCKALERT_SMTP_ADDRESS": f"127.0.0.1:{server.port}", "STOCKALERT_SMTP_TLS": "none",
                        "STOCKALERT_MAIL_FROM": "alerts@example.org"}
        try:
            mesh.restart("notifier")
            sends_a_picture(world, server)
        finally:
            notifier.env = usual
            mesh.restart("notifier")


def sends_a_picture(world, server):
    _, key = world.user("Painter")
    symbol = f"DRAW{secrets.token_hex(5).upper()}"
    world.call("user", "FollowTicker", {"parent": "users/me", "symbol": symbol}, key, timeout_s=20)
    verify(world, server, key)
    alert = {"symbol": symbol, "note": "draw me", "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "150"}}}
    world.call("alert", "CreateAlert", {"parent": "users/me", "alert": alert}, key, timeout_s=20)
    world.await_applied(key)
    publish(world, symbol, ["148", "148.4", "148.2", "148.9", "149.3", "149.1", "149.6"], 20)
    await_true("the bars", lambda: len(world.call("ticker", "ListBars", {"parent": f"tickers/{symbol}"}, key).get("bars", [])) == 7, MAIL_S)
    publish(world, symbol, ["150.2"], 13)
    mail = server.await_mail(lambda one: "draw me" in one["plain"]["text"])
    expect_equal(mail["types"], ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"],
                 "the mail's parts")
    expect_equal(mail["defects"], [], "its faults")
    picture = mail["others"][0]
    expect_equal((picture["disposition"], picture["type"]), ("inline", "image/png"), "how the picture is sent")
    expect(f"<img src=\"cid:{picture['id'].strip('<>')}\" alt=\"Chart of the last prices of {symbol}" in mail["html"]["text"],
           f"the HTML does not show it: {mail['html']['text']}")
    expect_equal(size_of_png(base64.b64decode(picture["base64"])), (1200, 600), "its size")


CASES = [("pictures/a mail has one", mail_has_a_picture)]
