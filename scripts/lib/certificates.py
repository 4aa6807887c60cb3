"""An authority of one's own and certificates by it, for trials and tests: made by the openssl command, valid for days.

    authority = Authority(folder)
    authority.issue(folder / "user")    # a folder behind a link, with tls.crt, tls.key and ca.crt, as Kubernetes mounts a secret
"""

import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any


def openssl(*arguments: object, stdin: str | None = None) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def new_key() -> str:
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def swap(link: pathlib.Path | str, files: dict[str, str]) -> None:
    """Puts `files` (name → contents) behind the link, all in one step. What they replace is removed."""
    link = pathlib.Path(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    folder = link.parent / f".{link.name}-{secrets.token_hex(4)}"
    folder.mkdir()
    for name, contents in files.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(contents)
    before = os.readlink(link) if link.is_symlink() else None
    fresh = link.parent / f".{link.name}-link-{secrets.token_hex(4)}"
    fresh.symlink_to(folder.name)
    fresh.rename(link)
    if before:
        shutil.rmtree(link.parent / before, ignore_errors=True)


class Authority:
    def __init__(self, name: str):
        with tempfile.TemporaryDirectory() as work:
            key = pathlib.Path(work) / "key"
            key.write_text(new_key())
            self.key = key.read_text()
            self.certificate = openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", "30", "-addext",
                                       "keyUsage=critical,keyCertSign,cRLSign")

    def sign(self, names: Sequence[str] = ("DNS:localhost", "IP:127.0.0.1"), days: int = 7, usage: str = "serverAuth,clientAuth",
             subject: str = "stockalert") -> tuple[str, str]:
        """(certificate, key). With days=-1 it has expired. `subject` is its common name, by which Kafka knows its owner."""
        with tempfile.TemporaryDirectory() as work:
            folder = pathlib.Path(work)
            for name, contents in (("ca.crt", self.certificate), ("ca.key", self.key), ("key", new_key()),
                                   ("extensions", f"subjectAltName={','.join(names)}\nextendedKeyUsage={usage}\n")):
                (folder / name).write_text(contents)
            request = openssl("req", "-new", "-key", folder / "key", "-subj", f"/CN={subject}")
            # "-days" takes no number below 0 in each version of openssl; x509 -req does.
            certificate = openssl("x509", "-req", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-days", str(days), "-extfile",
                                  folder / "extensions", stdin=request)
            return certificate, (folder / "key").read_text()

    def issue(self, link: pathlib.Path, trusted: str | None = None, **options: Any) -> None:
        certificate, key = self.sign(**options)
        swap(link, {"tls.crt": certificate, "tls.key": key, "ca.crt": trusted or self.certificate})
