"""The certificate that phones are shown by SIP over TLS.  One thread, that of the command."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta

from commands.cert import AUTHORITY_FILE, RENEW_DAYS
from commands.selftest.scene import Scene
from commands.selftest.verdict import Finding, Level
from sip.tls import certificate_files

_ANSWER_S = 3.0
_MAKE_IT = "Run: python sipserver.py cert"


def check(scene: Scene, now: datetime | None = None) -> Finding:
    """`now` is UTC, the present unless given."""
    config = scene.config
    files = certificate_files(config)
    if files is None:
        return _without_tls(scene)
    if not config.sip_tls_port:
        return _skipped("SIP_TLS_PORT=0: the server may have any port; set one to test it.")
    try:
        der = _shown_certificate(scene.server.host, config.sip_tls_port)
    except OSError as error:
        return Finding(
            "certificate",
            Level.WARNING,
            "TLS does not work",
            f"There is a certificate, but nothing speaks TLS on port {config.sip_tls_port} ({error}).",
            "Restart the server; it opens the port as soon as there is a certificate it can use.",
        )
    try:
        expires = _expiry(der)
    except ImportError:
        return _skipped("Reading it needs the package cryptography: pip install -r requirements.txt")
    left = expires - (now or datetime.now(UTC))
    if left <= timedelta(0):
        return Finding(
            "certificate",
            Level.DANGER,
            "The certificate has expired",
            f"It was valid until {expires:%d %B %Y}. Phones no longer connect, or worse, are told to ignore that.",
            _MAKE_IT,
        )
    if left < timedelta(days=RENEW_DAYS):
        return Finding(
            "certificate",
            Level.WARNING,
            "The certificate expires soon",
            f"It is valid until {expires:%d %B %Y}; after that phones no longer connect by TLS.",
            _MAKE_IT,
        )
    return _trust(scene, str(files[0].with_name(AUTHORITY_FILE)), expires)


def _without_tls(scene: Scene) -> Finding:
    meaning = "Whoever can listen on the way sees who calls whom, and can overhear what phones show as proof."
    if scene.is_public:
        return Finding(
            "certificate",
            Level.WARNING,
            "There is no TLS",
            meaning,
            f"{_MAKE_IT}; restart the server, and set the phones to TLS, port {scene.config.sip_tls_port or 5061}.",
        )
    return Finding("certificate", Level.OK, "There is no TLS", f"{meaning} In your own network that is usual.")


def _skipped(why: str) -> Finding:
    return Finding("certificate", Level.SKIPPED, "The certificate could not be looked at", why)


def _shown_certificate(host: str, port: int) -> bytes:
    """As the server shows it, trusted or not; DER.  Raises `OSError`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, port), _ANSWER_S) as plain, context.wrap_socket(plain) as tls:
        return tls.getpeercert(binary_form=True) or b""


def _expiry(der: bytes) -> datetime:
    """Raises `ImportError` where the package is missing, which the server itself does not need."""
    from cryptography import x509

    return x509.load_der_x509_certificate(der).not_valid_after_utc


def _trust(scene: Scene, own_authority: str, expires: datetime) -> Finding:
    """Whether a phone that is set to this server would believe it."""
    name = scene.config.server_address or scene.server.host
    until = f"It is valid until {expires:%d %B %Y}"
    fault = _fault(scene, name, None)
    if fault is None:
        return Finding("certificate", Level.OK, "The certificate is good", f"{until}, and everybody trusts its issuer.")
    fault = _fault(scene, name, own_authority)
    if fault is None:
        return Finding(
            "certificate",
            Level.OK,
            "The certificate is good",
            f"{until}. It comes from your own authority: each phone must be given {own_authority} once.",
        )
    if "mismatch" in fault or "not valid for" in fault:
        return Finding(
            "certificate",
            Level.WARNING,
            f"The certificate is not for {name}",
            f"Phones set to {name} refuse the connection ({fault}).",
            f"{_MAKE_IT} --name {name}",
        )
    return Finding(
        "certificate",
        Level.WARNING,
        "Phones have no reason to trust the certificate",
        f"{until}, but it is signed by itself or by nobody known ({fault}): phones refuse it, or are told to take any.",
        f"{_MAKE_IT} (it makes an authority that phones can be given), or use a certificate of a public authority.",
    )


def _fault(scene: Scene, name: str, authority: str | None) -> str | None:
    """What a phone that trusts this authority, or those of the system, finds wrong; None when it is content."""
    try:
        context = ssl.create_default_context(cafile=authority)
        plain = socket.create_connection((scene.server.host, scene.config.sip_tls_port), _ANSWER_S)
        with plain, context.wrap_socket(plain, server_hostname=name):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return error.strerror or str(error)
