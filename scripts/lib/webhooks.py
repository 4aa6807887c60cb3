"""A receiver of webhooks for tests and demonstrations: it verifies messages, answers the verification, and queues them or calls `on_message`.

    with Receiver() as receiver:
        made = mesh.client.call("destination", "CreateDestination", {..., "webhook": {"url": receiver.url}}, key)
        receiver.secret = made["secret"]
        message = receiver.received.get(timeout=10)

Of what a destination sends before its secret is known here, the answer waits for the secret. Standard library alone. People have
`stockalert receive`.
"""

import base64
import collections
import dataclasses
import hashlib
import hmac
import http.server
import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

BODY_MAX = 64 * 1024
TOLERANCE_S = 300
SECRET_WAIT_S = 5


@dataclasses.dataclass
class Message:
    """What came, verified."""

    id: str
    type: str
    content: dict[str, Any]


class Receiver:
    def __init__(self, port: int = 0, on_message: Callable[[Message], None] | None = None, host: str = "127.0.0.1"):
        self.received: queue.Queue[Message] = queue.Queue()
        self.host = host
        self.on_message = on_message or self.received.put
        # Of all that was verified, notifications and tests: how often each id came.
        self.counts: collections.Counter[str] = collections.Counter()
        self.refused = 0
        # What it answers to notifications and tests.
        self.status = 204
        self._secret = ""
        self._known = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self):
                body = self.rfile.read(min(int(self.headers.get("content-length", 0)), BODY_MAX))
                status, answer = receiver.answer(body, self.headers)
                self.send_response(status)
                if status != 204:
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer if status != 204 else b"")

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                # Who sends may go before the answer.
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    super().handle_error(request, client_address)

        self.server = Server((host, port), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, name="webhooks", daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hook"

    @property
    def secret(self) -> str:
        return self._secret

    @secret.setter
    def secret(self, text: str) -> None:
        self._secret = text
        self._known.set()

    def verified(self, body: bytes, headers: Any) -> bool:
        """Whether a `v1` signature holds, by the secret, and the time is now."""
        sent = headers.get("webhook-timestamp", "")
        if not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE_S:
            return False
        key = base64.b64decode(self._secret.removeprefix("whsec_"))
        signed = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(wanted, one) for one in headers.get("webhook-signature", "").split(" "))

    def answer(self, body: bytes, headers: Any) -> tuple[int, bytes]:
        if not self._known.wait(SECRET_WAIT_S) or not self.verified(body, headers):
            self.refused += 1
            return 401, b"{}"
        content = json.loads(body)
        if content["type"] == "destination.verification":
            return 200, json.dumps({"challenge": content["data"]["challenge"]}).encode()
        status = self.status
        if 200 <= status < 300:
            webhook_id = headers["webhook-id"]
            self.counts[webhook_id] += 1
            self.on_message(Message(webhook_id, content["type"], content))
        return status, b"{}"
