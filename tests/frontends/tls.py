"""TLS in front of a server on this machine, with a certificate that nobody signed."""

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

T = TypeVar("T")


@contextmanager
def behind_tls(port: int, folder: Path) -> Iterator[int]:
    """Pass what comes on another port on to this one, without TLS, until the block ends."""
    loop = asyncio.new_event_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder))

    open_ends: set[asyncio.StreamWriter] = set()

    async def serve(here: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", port)
        open_ends.update((onward, answer))
        await asyncio.gather(_copy(here, onward), _copy(there, answer))
        open_ends.difference_update((onward, answer))

    async def stop() -> None:
        server.close()
        for end in open_ends:
            end.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    thread = Thread(target=loop.run_forever)
    thread.start()
    server = run(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        run(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
    with suppress(OSError):
        await target.wait_closed()


def _certificate(folder: Path) -> Path:
    """Write a key and its certificate into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain) + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
