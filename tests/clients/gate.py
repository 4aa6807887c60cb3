"""What stands between a client and a service in the tests: it refuses connections, holds them back, slows them down, or ends TLS."""

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
    them wait for release(). What the client sends arrives `delay_s` later. With `tls` (certificate, key) it speaks TLS to the client."""

    def __init__(self, target, refuse=0, held=False, delay_s=0, tls=None):
        self.host, self.port = target.rsplit(":", 1)
        self.refuse = refuse
        self.delay_s = delay_s
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
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def release(self):
        self.loop.call_soon_threadsafe(self.released.set)

    async def _close(self):
        self.server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

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
        await asyncio.gather(self._copy(reader, there_writer, self.delay_s), self._copy(there_reader, writer))

    async def _copy(self, reader, writer, delay_s=0):
        try:
            while data := await reader.read(65536):
                if delay_s:
                    self.loop.call_later(delay_s, writer.write, data)
                else:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass  # Either side may go at any time; the other learns it by the close.
        finally:
            self.loop.call_later(delay_s, writer.close)
