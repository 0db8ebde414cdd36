"""TLS in front of a server on this machine, with a certificate that nobody signed."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anyio import (
    TASK_STATUS_IGNORED,
    BrokenResourceError,
    ClosedResourceError,
    connect_tcp,
    create_task_group,
    create_tcp_listener,
)
from anyio.abc import ByteStream, SocketAttribute, TaskStatus
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@contextmanager
def behind_tls(port: int, folder: Path) -> Iterator[int]:
    """Pass what comes on another port on to this one, without TLS, until the block ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))

    async def pass_on(client: ByteStream) -> None:
        with suppress(OSError, BrokenResourceError, ClosedResourceError):
            async with client, await connect_tcp("127.0.0.1", port) as server:
                await _copy_both_ways(client, server)

    async def listen(*, task_status: TaskStatus[int] = TASK_STATUS_IGNORED) -> None:
        async with await create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(SocketAttribute.local_port))
            await TLSListener(listener, context, standard_compatible=False).serve(pass_on)

    with start_blocking_portal() as portal:
        listening, own_port = portal.start_task(listen)
        try:
            yield own_port
        finally:
            listening.cancel()


async def _copy_both_ways(one: ByteStream, other: ByteStream) -> None:
    """Copy until either end closes."""
    async with create_task_group() as copying:

        async def copy(source: ByteStream, target: ByteStream) -> None:
            with suppress(OSError, BrokenResourceError, ClosedResourceError):
                async for data in source:
                    await target.send(data)
            copying.cancel_scope.cancel()

        copying.start_soon(copy, one, other)
        copying.start_soon(copy, other, one)


def certificate(folder: Path) -> Path:
    """Write a key and its certificate into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = (
        builder.not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain) + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file
