"""What the receivers of webhooks are tried with: a sender that signs as Standard Webhooks says, and a receiver's process."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import tempfile
import threading
import time

from harness import ROOT, expect

# What DER has before the 32 bytes of a private Ed25519 key.
PKCS8_BEGINNING = bytes.fromhex("302e020100300506032b657004220420")
START_TIMEOUT_S = 300  # Some are built by the command that starts them.
CALL_TIMEOUT_S = 15
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True, timeout=30).stdout


class Keys:
    """A destination's secret and its pair of Ed25519 keys."""

    def __init__(self):
        self.key = secrets.token_bytes(32)
        self.secret = "whsec_" + base64.b64encode(self.key).decode()
        self.private = PKCS8_BEGINNING + secrets.token_bytes(32)
        public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=self.private)
        self.public = "whpk_" + base64.b64encode(public[-32:]).decode()

    def v1(self, signed):
        return "v1," + base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()

    def v1a(self, signed):
        with tempfile.NamedTemporaryFile() as key, tempfile.NamedTemporaryFile() as text:
            key.write(self.private)
            key.flush()
            text.write(signed)
            text.flush()
            made = openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key.name, "-in", text.name)
        return "v1a," + base64.b64encode(made).decode()


class Message:
    """What is sent: a type, data, an id, a time, and who signs it how: functions from the signed bytes to a signature."""

    def __init__(self, *signers, kind="alert.triggered", data=None, age_s=0, webhook_id=None):
        sent = int(time.time()) - age_s
        self.id = webhook_id or "msg_" + secrets.token_hex(8)
        content = {"type": kind, "timestamp": "2026-11-23T20:04:05Z", "data": data or {"summary": "AAPL at or above 150 · µ"}}
        self.body = json.dumps(content, ensure_ascii=False).encode()
        signed = f"{self.id}.{sent}.".encode() + self.body
        self.headers = {"content-type": "application/json", "webhook-id": self.id, "webhook-timestamp": str(sent),
                        "webhook-signature": " ".join(sign(signed) for sign in signers)}


class Receiver:
    """Runs a receiver by `commands`; for use in a `with`. What it prints is awaited line by line."""

    def __init__(self, commands, secret=None, public_key=None):
        env = {name: value for name, value in os.environ.items() if not name.startswith("STOCKALERT_")}
        env["STOCKALERT_WEBHOOK_PORT"] = "0"
        if secret:
            env["STOCKALERT_WEBHOOK_SECRET"] = secret
        if public_key:
            env["STOCKALERT_WEBHOOK_PUBLIC_KEY"] = public_key
        self.process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.lines = queue.Queue()
        self.all = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.port = None

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(COLOUR.sub("", line.rstrip("\n")))
        self.lines.put(None)

    def __enter__(self):
        try:
            self.port = int(self.await_line("listening on ", START_TIMEOUT_S).split(" ")[-1])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):  # It may have ended by itself.
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def await_line(self, beginning, timeout_s=CALL_TIMEOUT_S):
        """The next line, past those of its build, that begins so."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            expect(line is not None, f"no line «{beginning}…», but {self.all[-8:]}")
            self.all.append(line)
            if line.startswith(beginning):
                return line
            expect(self.port is None, f"it printed «{line}», wanted «{beginning}…»")

    def send(self, message, headers=None, body=None):
        """(status, the answer's body) of a POST of the message, or of what stands in place of its parts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request("POST", "/hook", body=message.body if body is None else body, headers=message.headers if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
