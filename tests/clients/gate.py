"""What stands between a client and a service in the tests: it refuses connections, holds them back, or ends TLS."""

import asyncio
import ssl
import subprocess
import threading


def self_signed(folder):
    """A certificate for loopback that is its own authority. Answers the files (certificate, key)."""
    certificate, key = folder / "gate.crt", folder / "gate.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stockalert", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Gate:
    """Listens on a port of its own and passes connections on to `target`. The first `refuse` ones it closes at once; with `held`, those after
    them wait for release(). With `tls` (certificate, key) it speaks TLS to the client."""

    def __init__(self, target, refuse=0, held=False, tls=None):
        self.host, self.port = target.rsplit(":", 1)
        self.refuse = refuse
        self.refused = 0
        self.passed = 0
        self.released = asyncio.Event()
        if not held:
            self.released.set()
        self.context = None
        if tls:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(*tls)
            self.context.set_alpn_protocols(["h2"])
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.server = None

    def __enter__(self):
        self.thread.start()
        starting = asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self.context)
        self.server = asyncio.run_coroutine_threadsafe(starting, self.loop).result()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def release(self):
        self.loop.call_soon_threadsafe(self.released.set)

    async def _connection(self, reader, writer):
        if self.refused < self.refuse:
            self.refused += 1
            writer.close()
            return
        await self.released.wait()
        self.passed += 1
        try:
            there_reader, there_writer = await asyncio.open_connection(self.host, int(self.port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._copy(reader, there_writer), self._copy(there_reader, writer))

    @staticmethod
    async def _copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # Either side may go at any time; the other learns it by the close.
        finally:
            writer.close()
