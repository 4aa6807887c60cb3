"""A mail server on the loopback device (aiosmtpd) that keeps what it is sent, and misbehaves as it is told.

    mail_server.py --port=0 [--cert=FILE --key=FILE [--implicit]] [--user=U --password=P]

It prints "port N", then a JSON object a line: {"event": "connect"}, or {"event": "mail", ...} with what Python's own
parser of mails reads. What a recipient's local part begins with tells what becomes of its mail: `defer`, `nomailbox`,
`policy`, `closing` at RCPT; `later`, `spam`, `drop`, `slow`, `bye` after the content. It ends with its standard input.
"""

import argparse
import asyncio
import base64
import email
import email.policy
import json
import ssl
import sys
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

RCPT_REPLIES = {
    "defer": "450 4.2.1 try later",
    "nomailbox": "550 5.1.1 no such mailbox",
    "policy": "554 5.7.1 not from you",
    "closing": "421 4.3.2 closing",
}
DATA_REPLIES = {"later": "451 4.3.0 try later", "spam": "554 5.7.1 refused as spam", "bye": "421 4.3.2 closing"}


def tell(event: dict) -> None:
    print(json.dumps(event), flush=True)


def part_of(message: EmailMessage, subtype: str) -> dict | None:
    part = message.get_body(preferencelist=(subtype,))
    if part is None:
        return None
    encoding = str(part["Content-Transfer-Encoding"])
    return {"text": part.get_content(), "type": str(part["Content-Type"]), "encoding": encoding}


def attached(part: EmailMessage) -> dict:
    return {
        "type": part.get_content_type(),
        "id": str(part["Content-ID"]),
        "disposition": part.get_content_disposition(),
        "file_name": part.get_filename(),
        "encoding": str(part["Content-Transfer-Encoding"]),
        "base64": base64.b64encode(part.get_content()).decode(),
    }


def describe(envelope: Envelope) -> dict:
    raw = envelope.original_content
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return {
        "event": "mail",
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "headers": [[name, str(value)] for name, value in message.items()],
        "defects": [str(defect) for part in message.walk() for defect in part.defects],
        "types": [part.get_content_type() for part in message.walk()],
        "plain": part_of(message, "plain"),
        "html": part_of(message, "html"),
        "others": [attached(part) for part in message.walk() if part.get_content_maintype() not in ("text", "multipart")],
        "line_bytes_max": max(len(line) for line in raw.split(b"\r\n")),
        "bare_line_ends": raw.replace(b"\r\n", b"").count(b"\n") + raw.replace(b"\r\n", b"").count(b"\r"),
        "ascii": raw.isascii(),
    }


class Mailboxes:
    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list) -> str:
        for begin, reply in RCPT_REPLIES.items():
            if address.startswith(begin):
                return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        local = envelope.rcpt_tos[0]
        for begin, reply in DATA_REPLIES.items():
            if local.startswith(begin):
                return reply
        if local.startswith("slow"):
            await asyncio.sleep(3600)
        if local.startswith("drop"):
            server.transport.abort()
            return "250 OK"
        tell(describe(envelope))
        return "250 2.0.0 kept"


class Server(SMTP):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not again for STARTTLS.
        if self._original_transport is None:
            tell({"event": "connect"})
        super().connection_made(transport)


def read_arguments() -> tuple[argparse.Namespace, ssl.SSLContext | None, dict]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--implicit", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--password")
    args = parser.parse_args()
    context = None
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
        good = data.login.decode() == args.user and data.password.decode() == args.password
        return AuthResult(success=good, handled=good)

    smtp = {"enable_SMTPUTF8": True}
    if context and not args.implicit:
        smtp.update(tls_context=context, require_starttls=True)
    if args.user:
        smtp.update(auth_required=True, auth_require_tls=bool(context) and not args.implicit, authenticator=authenticate)
    return args, context, smtp


async def serve(args: argparse.Namespace, context: ssl.SSLContext | None, smtp: dict) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Server(Mailboxes(), loop=loop, **smtp),
        host="127.0.0.1",
        port=args.port,
        ssl=context if args.implicit else None,
    )
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(*read_arguments()))
