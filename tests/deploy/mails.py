"""Mails as a mailbox of tests/deploy/postfix has them, and what a notification's has to be."""

import datetime
import email
import email.policy
import email.utils
import io
import re
import tarfile
import urllib.parse

from harness import await_true, expect, expect_equal, timestamp

# A note that would be a header, the end of a mail and a command if its line breaks were any more than that.
NOTE = "Sell half 📈 <b>now</b>\nBcc: eve@example.net\n.\nRCPT TO:<eve@example.net>\n\n--x\nlast & least"
FROM_NAME = "Börse 📈"
FROM = "alerts@example.org"
UNSUBSCRIBE = "stop@example.org"


def read(archive):
    """The mails of a mailbox, which comes as a tar of its folder, the oldest first."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        found = [(member.mtime, member.name, files.extractfile(member).read()) for member in files
                 if member.isfile() and re.search(r"(^|/)(new|cur)/[^/]+$", member.name)]
    return [email.message_from_bytes(raw, policy=email.policy.default) for _, _, raw in sorted(found)]


def body(message, kind):
    return message.get_body(preferencelist=(kind,)).get_content().replace("\r\n", "\n")


def code(message):
    """The code of a verification."""
    return re.search(r"enter this code within 30 minutes: (\w+)", body(message, "plain")).group(1)


def expect_headers(message, address, subject):
    expect_equal([str(defect) for part in message.walk() for defect in part.defects], [], "defects of the mail")
    sender = message["From"].addresses
    expect_equal([(one.display_name, one.addr_spec) for one in sender], [(FROM_NAME, FROM)], "From")
    expect_equal([one.addr_spec for one in message["To"].addresses], [address], "To")
    expect_equal(str(message["Subject"]), subject, "Subject")
    expect(re.fullmatch(r"<[A-Za-z0-9_-]+@example\.org>", str(message["Message-ID"])), f"Message-ID: {message['Message-ID']}")
    age_s = (datetime.datetime.now(datetime.UTC) - email.utils.parsedate_to_datetime(str(message["Date"]))).total_seconds()
    expect(-5 < age_s < 600, f"Date: {message['Date']}, {age_s} s ago")
    expect_equal(str(message["Auto-Submitted"]), "auto-generated", "Auto-Submitted")
    for name in ("Bcc", "Cc", "Resent-To"):
        expect(message[name] is None, f"{name}: {message[name]}")
    # How it came: Postfix writes this only of what came by TLS and with a login.
    expect(any("with ESMTPSA" in line and "TLSv1." in line for line in message.get_all("Received")), f"Received: {message.get_all('Received')}")


def expect_unsubscribe(message, destination):
    links = [urllib.parse.urlsplit(link) for link in re.findall(r"<([^>]*)>", str(message["List-Unsubscribe"]))]
    mailto = [link for link in links if link.scheme == "mailto"]
    expect_equal([urllib.parse.unquote(link.path) for link in mailto], [UNSUBSCRIBE], f"List-Unsubscribe: {message['List-Unsubscribe']}")
    expect(destination.rsplit("/", 1)[1] in urllib.parse.unquote(mailto[0].query), f"List-Unsubscribe names no destination: {mailto[0].query}")


def expect_alert(message, address, destination, symbol, price):
    """A notification with NOTE: both parts say the same, and the note is text in both."""
    expect_headers(message, address, f"{symbol} at {price}.00")
    expect_unsubscribe(message, destination)
    plain, html = body(message, "plain"), body(message, "html")
    lines = NOTE.split("\n")
    expect("\n".join(lines) in plain, f"the note is not in the text: {plain!r}")
    for line in lines:
        escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        expect(escaped in html, f"{escaped!r} is not in the HTML: {html!r}")
    expect("<b>" not in html, f"the note is markup: {html!r}")
    for part, text in (("text", plain), ("HTML", html)):
        expect(price in text and symbol in text, f"the {part} has no price: {text!r}")


def expect_picture(message):
    """The picture of the prices: shown by the HTML by its Content-ID."""
    pictures = [part for part in message.walk() if part.get_content_maintype() == "image"]
    expect_equal(len(pictures), 1, "pictures in the mail")
    expect_equal(pictures[0].get_content_type(), "image/png", "its type")
    expect(pictures[0].get_content().startswith(b"\x89PNG\r\n\x1a\n"), "the picture is no PNG")
    content_id = str(pictures[0]["Content-ID"]).strip("<>")
    expect(f"cid:{content_id}" in body(message, "html"), f"the HTML does not show the picture {content_id}")


class Reader:
    """Ada, a user with a mailbox, and an alert that triggers whenever a price is told. `mails_of(LOCAL_PART)` reads a mailbox."""

    SYMBOL = "AAPL"

    def __init__(self, client, admin_key, mails_of):
        self.client = client
        self.admin_key = admin_key
        self.mails_of = mails_of
        self.address = "ada@example.net"
        self.key = None
        self.destination = None
        self.price = 150
        self.key = self.call("user", "RegisterUser", {"user": {"email": self.address, "display_name": "Ada"}})["secret"]

    def call(self, service, method, request):
        return self.client.call(service, method, request, self.key, timeout_s=20, wait=True)

    def mails(self, subject=None):
        return [mail for mail in self.mails_of("ada") if subject is None or str(mail["Subject"]) == subject]

    def await_mail(self, subject, timeout_s=30):
        return await_true(f"a mail {subject!r}", lambda: self.mails(subject), timeout_s, 0.3)[0]

    def create_destination(self):
        self.destination = self.call("destination", "CreateDestination",
                                     {"parent": "users/me", "destination": {"email": {"address": self.address}}})["destination"]["name"]

    def verify_destination(self):
        """With the code that was mailed."""
        mail = self.await_mail("Is this destination yours?", 90)
        expect_headers(mail, self.address, "Is this destination yours?")
        found = self.call("destination", "VerifyDestination", {"name": self.destination, "code": code(mail)})
        expect_equal(found["state"], "STATE_ACTIVE", "the mailbox's state")

    def set_alert(self):
        self.call("user", "FollowTicker", {"parent": "users/me", "symbol": self.SYMBOL})
        self.call("alert", "CreateAlert", {"parent": "users/me", "alert": {
            "symbol": self.SYMBOL, "trigger_policy": "TRIGGER_POLICY_REPEAT", "cooldown": "0s", "creation_policy": "CREATION_POLICY_WAIT_FOR_CROSS",
            "note": NOTE, "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "150"}}}})

    def trigger(self):
        """Answers the subject of the mail that has to come."""
        self.price += 1
        for price in (100, self.price):
            self.client.call("ticker", "PublishQuotes", {"quotes": [{"symbol": self.SYMBOL, "price": str(price), "event_time": timestamp(),
                                                                     "session": "SESSION_REGULAR"}]}, self.admin_key)
        return f"{self.SYMBOL} at {self.price}.00"

    def deliveries(self, state):
        return self.client.list_all("destination", "ListDeliveries", "deliveries", {"parent": "users/me", "state": state}, self.key)
