"""Compose's mesh with a real mail server: Debian's Postfix in a container beside it (tests/deploy/postfix), by STARTTLS and a login."""

import collections
import json
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile

import images
import mails
from compose_mesh import PROJECT
from harness import await_true, expect, expect_equal
from images import ROOT, docker

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import certificates
import client as clients

IMAGE = f"stockalert/test-mail:{images.TAG}"
LOGIN = {"MAIL_USER": "stockalert", "MAIL_PASSWORD": secrets.token_urlsafe(24)}
STARTED = []
FOLDER = tempfile.TemporaryDirectory(prefix="stockalert-mail-")
READERS = []


def settings(password=LOGIN["MAIL_PASSWORD"]):
    """What docker/.env has for it."""
    return {"STOCKALERT_SMTP_ADDRESS": "mail:587", "STOCKALERT_SMTP_USER": LOGIN["MAIL_USER"], "STOCKALERT_SMTP_PASSWORD": password,
            "STOCKALERT_SMTP_CA_FILE": f"{FOLDER.name}/ca.crt", "STOCKALERT_MAIL_FROM": mails.FROM, "STOCKALERT_MAIL_FROM_NAME": mails.FROM_NAME,
            "STOCKALERT_MAIL_UNSUBSCRIBE": mails.UNSUBSCRIBE}


def start():
    """Postfix in compose's network, and the notifier that knows it; once."""
    if STARTED:
        raise AssertionError("the mailbox was not verified; see above")
    # Skips the case where there is no engine.
    PROJECT.ensure_up()
    STARTED.append(True)
    docker("build", "-t", IMAGE, "--build-arg", f"BASE_IMAGE={images.BASE}", ROOT / "tests" / "deploy" / "postfix", timeout_s=300)
    folder = pathlib.Path(FOLDER.name)
    folder.chmod(0o755)
    authority = certificates.Authority("mail authority")
    certificate, key = authority.sign(["DNS:mail"])
    for name, text in (("ca.crt", authority.certificate), ("tls.crt", certificate), ("tls.key", key)):
        (folder / name).write_text(text, encoding="ascii")
    beside = folder / "mail.json"
    beside.write_text(json.dumps({"services": {"mail": {"image": IMAGE, "environment": LOGIN, "volumes": [f"{folder}:/etc/mail-tls:ro"]}}}),
                      encoding="utf-8")
    PROJECT.beside = [beside]
    up(settings())


def up(env):
    PROJECT.env.update(env)
    PROJECT.compose("up", "-d", "--no-build", "--no-deps", "--wait", "--wait-timeout", "60", "mail", "notifier")


def mails_of(local):
    done = subprocess.run(["docker", "cp", f"{PROJECT.compose('ps', '-a', '-q', 'mail').stdout.strip()}:/var/mail/boxes/{local}", "-"],
                          capture_output=True, check=False)
    return mails.read(done.stdout) if done.returncode == 0 else []


def reader():
    """The same in all cases: with a verified mailbox and its alert."""
    if not READERS:
        start()
        client = clients.Client({service: f"127.0.0.1:{port}" for service, port in PROJECT.ports.items()})
        found = mails.Reader(client, PROJECT.read("/var/lib/stockalert/admin/admin_key"), mails_of)
        found.create_destination()
        found.verify_destination()
        found.set_alert()
        READERS.append(found)
    return READERS[0]


def read_back():
    ada = reader()
    mail = ada.await_mail(ada.trigger())
    mails.expect_alert(mail, ada.address, ada.destination, ada.SYMBOL, str(ada.price))
    expect_equal(mails_of("eve"), [], "mails to whom the note names")
    print(f"    {mail['Received']}".replace("\n", " "), flush=True)


def picture():
    ada = reader()
    ada.await_mail(ada.trigger())
    # They are saved every second.
    await_true("bars of the prices so far", lambda: ada.call("ticker", "ListBars", {"parent": f"tickers/{ada.SYMBOL}"}).get("bars"), 30)
    mails.expect_picture(ada.await_mail(ada.trigger()))


def own_wording():
    """A subject of the user's own, with an emoji."""
    ada = reader()
    ada.call("destination", "UpdateDestination", {"destination": {"name": ada.destination, "template": {"title": "🚀 {{symbol}} – {{price}}"}},
                                                  "update_mask": "template"})
    try:
        ada.trigger()
        subject = f"🚀 {ada.SYMBOL} – {ada.price}"
        mails.expect_headers(ada.await_mail(subject), ada.address, subject)
    finally:
        ada.call("destination", "UpdateDestination", {"destination": {"name": ada.destination}, "update_mask": "template"})


def address_code():
    """The other kind of mail: the code that verifies a user's address."""
    ada = reader()
    ada.call("user", "SendEmailVerification", {"name": "users/me"})
    mail = ada.await_mail("Verify your address")
    mails.expect_headers(mail, ada.address, "Verify your address")
    code = re.search(r"this code verifies it: (\w+)", mails.body(mail, "plain"))[1]
    found = ada.call("user", "VerifyEmail", {"name": "users/me", "code": code})
    expect("email_verify_time" in found, f"not verified: {found}")


def notifier_log():
    return PROJECT.compose("logs", "--no-color", "--no-log-prefix", "notifier").stdout


def expect_each_once(ada, subjects):
    for subject in subjects:
        ada.await_mail(subject, 90)
    await_true("deliveries that have ended", lambda: not ada.deliveries("STATE_QUEUED"), 30)
    count = collections.Counter(str(mail["Subject"]) for mail in ada.mails())
    expect_equal({subject: count[subject] for subject in subjects}, dict.fromkeys(subjects, 1), "mails by their subject")
    ids = [str(mail["Message-ID"]) for mail in ada.mails()]
    expect_equal(len(set(ids)), len(ids), "different Message-IDs")
    expect_equal(ada.deliveries("STATE_FAILED"), [], "deliveries that failed")


def wrong_password():
    """It is said in the log and by a metric, the mail waits, and is sent once the password is right."""
    ada = reader()
    wrong = secrets.token_urlsafe(24)
    up(settings(wrong))
    subject = ada.trigger()
    line = await_true("a line in the log about the login", lambda: re.search(r".*the mail server cannot be used.*", notifier_log()), 30)[0]
    print(f"    {line}", flush=True)
    expect("535" in line, f"the line does not say that the login was refused: {line}")
    metrics = PROJECT.compose("exec", "-T", "ticker", "bash", "-c",
                              "exec 3<>/dev/tcp/notifier/11054; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3").stdout
    expect(re.search(r"^stockalert_mail_server_available 0$", metrics, re.M), "the metric does not say that mail cannot be sent")
    queued = await_true("the delivery that waits", lambda: ada.deliveries("STATE_QUEUED"), 10)
    expect_equal([delivery.get("attempt_count", 0) for delivery in queued], [0], "attempts that count")
    expect_equal(ada.mails(subject), [], "mails with a wrong password")
    up(settings())
    expect_each_once(ada, [subject])
    for password in (wrong, LOGIN["MAIL_PASSWORD"]):
        expect(password not in notifier_log(), "the log holds a password")


def away_and_back():
    """What triggers while the mail server is away arrives when it is back, each once; so does what is under way while it ends."""
    ada = reader()
    subjects = [ada.trigger() for _ in range(3)]
    PROJECT.compose("stop", "mail")
    subjects += [ada.trigger() for _ in range(5)]
    await_true("deliveries that wait", lambda: len(ada.deliveries("STATE_QUEUED")) >= 5, 30)
    PROJECT.compose("start", "mail")
    expect_each_once(ada, subjects)


def stop():
    # With the file beside the first, which is in the folder.
    PROJECT.stop()
    FOLDER.cleanup()


CASES = [
    ("compose: a mail by Postfix", read_back),
    ("compose: a mail with a picture", picture),
    ("compose: a mail of one's own wording", own_wording),
    ("compose: a code to a user's address", address_code),
    ("compose: a wrong password for mail", wrong_password),
    ("compose: the mail server away and back", away_and_back),
]
STOP = stop
