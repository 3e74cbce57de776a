"""Protection of the S3 server's internal ports: SeaweedFS's master, volume server and filer.

By default they store and return objects without authentication, over HTTP and gRPC, on their own ports and
Unix sockets. Here each of them speaks only TLS, and only with a holder of the key that this start of the
server was given (mutual TLS); HTTP requests also carry a signature. The S3 port stays plain HTTP with its own
credentials.
"""

import ipaddress
import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifacts.ports import HOST
from flows.stack.system.private_files import write_private
from flows.stack.system.state import StackPaths

_PARTS = ("master", "volume", "filer")
_GRPC = (*_PARTS, "s3", "client")
_SIGNED = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
# Longer than any stack runs; each start makes a new one.
_VALID = timedelta(days=3650)
_CLOCK_TOLERANCE = timedelta(days=1)


def write_security(paths: StackPaths, allowed_origins: str) -> None:
    """Write new keys and the configuration that names them, readable only by their owner.

    Args:
        paths: directories of the stack; SeaweedFS must be started in `paths.root`.
        allowed_origins: origins of web pages that may send requests, separated by commas.
    """
    certificate, key = _make_pair()
    cert_file, key_file = (paths.security_file.with_suffix(suffix) for suffix in (".cert", ".key"))
    write_private(cert_file, certificate)
    write_private(key_file, key)
    text = "\n".join(_sections(cert_file, key_file, allowed_origins))
    write_private(paths.security_file, text.encode())


def _sections(cert_file: Path, key_file: Path, allowed_origins: str) -> Iterator[str]:
    """Yield the sections of the file; `weed scaffold -config=security` explains their keys."""
    pair = {"cert": str(cert_file), "key": str(key_file)}
    # The certificate is its own authority: whoever has its key belongs to this server, and nobody else does.
    trusting = {**pair, "ca": str(cert_file)}
    yield _section("grpc", {"ca": str(cert_file)})
    for part in _GRPC:
        yield _section(f"grpc.{part}", pair)
    for part in _PARTS:
        yield _section(f"https.{part}", trusting)
    yield _section("https.client", {"enabled": True, **trusting})
    for use in _SIGNED:
        yield _section(use, {"key": secrets.token_urlsafe(32)})
    yield _section("filer.expose_directory_metadata", {"enabled": False})
    yield _section("cors.allowed_origins", {"values": allowed_origins})


def _section(name: str, values: Mapping[str, str | bool]) -> str:
    """Return one table of TOML, whose strings and booleans are written as in JSON."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines])


def _make_pair() -> tuple[bytes, bytes]:
    """Make a self-signed certificate for HOST and its key, both as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "enginery local stack")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    return certificate.public_bytes(pem), key.private_bytes(pem, form, plain)
