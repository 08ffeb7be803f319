"""TLS of `http.request`: the connection goes to the judged address, the certificate is checked for the name."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.handlers import addresses
from jobs.handlers.addresses import Endpoint
from jobs.handlers.http import RequestFailed, http_request
from jobs.handlers.http_client import default_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of service.example, its own authority, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "service.example")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("service.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's authorities are this one, as an operator would do it: through OpenSSL's own variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    default_tls.cache_clear()
    yield
    default_tls.cache_clear()


@pytest.fixture
def server(certificate: Path, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A TLS server on the loopback that every name leads to; `names` holds what clients asked for (SNI)."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    started = serve(OK, tls=tls)
    started.names = names
    there = [Endpoint(family=socket.AF_INET, sockaddr=("127.0.0.1", started.port))]
    monkeypatch.setattr(addresses, "system_resolver", lambda *_: there)
    return started


@pytest.mark.usefixtures("trusted", "loopback_allowed")
def test_the_name_is_sent_and_verified_although_the_connection_goes_to_an_address(
    ctx: Any, server: Any
) -> None:
    assert http_request(ctx, {"url": "https://service.example/"})["body"] == "ok"
    assert server.names == ["service.example"]
    assert b"Host: service.example\r\n" in server.heads[0]


@pytest.mark.usefixtures("trusted", "loopback_allowed")
def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(ctx: Any, server: Any) -> None:
    with pytest.raises(RequestFailed, match="certificate"):
        http_request(ctx, {"url": "https://other.example/"})
    assert server.heads == []


@pytest.mark.usefixtures("loopback_allowed")
def test_an_unknown_authority_is_refused_before_anything_is_sent(ctx: Any, server: Any) -> None:
    with pytest.raises(RequestFailed, match="certificate"):
        http_request(ctx, {"url": "https://service.example/"})
    assert server.heads == []


@pytest.mark.usefixtures("loopback_allowed")
def test_a_server_that_never_shakes_hands_is_cut_off(
    ctx: Any, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = serve(
        lambda connection, _head: connection.recv(65536) and connection.recv(65536), read_request=False
    )
    there = [Endpoint(family=socket.AF_INET, sockaddr=("127.0.0.1", silent.port))]
    monkeypatch.setattr(addresses, "system_resolver", lambda *_: there)
    began = time.monotonic()
    with pytest.raises(RequestFailed, match="time"):
        http_request(ctx, {"url": "https://service.example/", "timeout": 0.3})
    assert time.monotonic() - began < 3
