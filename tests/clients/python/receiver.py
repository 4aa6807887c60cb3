"""A receiver of StockAlert's webhooks in Python: who sent it, whose it is, whether it came before, and a quick answer."""

import base64
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

BODY_MAX = 64 * 1024  # What comes has at most 20 kB.
TOLERANCE_S = 300
IDS_KEPT = 10_000
# Either is enough: the one is a secret that both know, the other only what a signature is verified by.
SECRET = os.environ.get("STOCKALERT_WEBHOOK_SECRET")
PUBLIC_KEY = os.environ.get("STOCKALERT_WEBHOOK_PUBLIC_KEY")


def verify_v1a(body, headers):
    """By the public key. While the keys rotate, there are signatures by both: one that holds is enough."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC_KEY.removeprefix("whpk_")))
    sent = headers["webhook-timestamp"]
    if abs(time.time() - int(sent)) > TOLERANCE_S:
        raise WebhookVerificationError("the time is not now")
    signed = f"{headers['webhook-id']}.{sent}.".encode() + body
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, value = signature.partition(",")
        if version != "v1a":
            continue
        try:
            key.verify(base64.b64decode(value), signed)
            return
        except InvalidSignature:
            continue
    raise WebhookVerificationError("no signature by the key")


def verify(body, headers):
    """Raises where the body is not from whom it should be, or is old."""
    if not SECRET and not PUBLIC_KEY:
        raise WebhookVerificationError("nothing to verify by")
    if SECRET:
        Webhook(SECRET).verify(body, dict(headers), json_parse=False)
    if PUBLIC_KEY:
        verify_v1a(body, headers)


class Receiver(BaseHTTPRequestHandler):
    timeout = 10
    seen = {}  # In a program of yours: a table, written with what you make of the message.

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > BODY_MAX:
            self.answer(413)
            return
        body = self.rfile.read(length)  # As it came: a signature is over bytes.
        try:
            verify(body, self.headers)
        except (WebhookVerificationError, KeyError, TypeError, ValueError) as error:
            print("refused:", error, flush=True)
            self.answer(401)
            return
        message = json.loads(body)
        if message["type"] == "destination.verification":
            print("verified", flush=True)
            self.answer(200, {"challenge": message["data"]["challenge"]})
            return
        self.take(self.headers["webhook-id"], message)
        self.answer(204)

    def take(self, webhook_id, message):
        """At least once is how it comes: what came before has its id."""
        if webhook_id in self.seen:
            print("repeated", webhook_id, flush=True)
            return
        self.seen[webhook_id] = True
        if len(self.seen) > IDS_KEPT:
            del self.seen[next(iter(self.seen))]
        print("received", message["type"], webhook_id, flush=True)

    def answer(self, status, content=None):
        body = json.dumps(content).encode() if content else b""
        self.send_response(status)
        if content:
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("STOCKALERT_WEBHOOK_PORT", "3000"))), Receiver)
    print("listening on", server.server_port, flush=True)
    server.serve_forever()
