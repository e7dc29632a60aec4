"""A certificate authority of one's own, and certificates for the server (RFC 5280).

Apart from the command `cert`, which imports it when it runs, nothing needs the package `cryptography`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config import ConfigError
from private_file import replace_private

AUTHORITY_DAYS = 3650

# RSA, because many desk phones know nothing else.
_AUTHORITY_BITS = 3072
_SERVER_BITS = 2048

_CLOCK_SLACK = timedelta(days=1)
"""A phone that has lost its battery believes in yesterday."""

_MAX_COMMON_NAME = 64
"""ub-common-name of RFC 5280 A.1."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def names(self) -> tuple[str, ...]:
        """Host names and addresses it speaks for."""
        extension = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [*extension.get_values_for_type(x509.DNSName), *extension.get_values_for_type(x509.IPAddress)]
        return tuple(dict.fromkeys(map(str, names)))

    @property
    def expires(self) -> datetime:
        return self.certificate.not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256, as phones and browsers show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def signed(self, other: Pair) -> bool:
        """Whether the other certificate comes from this authority."""
        certificate = other.certificate
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def make_authority(now: datetime, owner: str) -> Pair:
    """An authority that may sign certificates of servers, but no other authorities; `owner` tells it from others in
    a list that a person looks at."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=_AUTHORITY_BITS)
    name = _name(f"sipserver CA of {owner}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key(), now, timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate, key)


def make_server(authority: Pair, names: Iterable[str], now: datetime, days: int) -> Pair:
    """A certificate for these host names and addresses; it ends with its authority at the latest."""
    names = list(names)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_SERVER_BITS)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    lifetime = min(timedelta(days=days), authority.expires - now)
    issuer = authority.certificate.subject
    certificate = (
        _builder(_name(names[0]), issuer, key.public_key(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """RFC 5280 4.2.1.6.  IPv4 addresses stand there as host names, too: phones with an older Mbed TLS, Linphone among
    them, look for the server they are set to among these alone."""
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            address = ip_address(name)
        except ValueError:
            found.append(x509.DNSName(name))
            continue
        found.append(x509.IPAddress(address))
        if address.version == 4:
            found.append(x509.DNSName(name))
    return found


# ------------------------------------------------------------------------------------------------ files


def read(certificate: Path, key: Path) -> Pair | None:
    """None when either file is missing.  Raises `ValueError` or `OSError` when they can't be used."""
    try:
        certificate_bytes, key_bytes = certificate.read_bytes(), key.read_bytes()
    except FileNotFoundError:
        return None
    private_key = serialization.load_pem_private_key(key_bytes, password=None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise ConfigError(f"{key} holds no RSA key")
    return Pair(x509.load_pem_x509_certificate(certificate_bytes), private_key)


def write(pair: Pair, certificate: Path, key: Path) -> None:
    """The key for its owner alone, the certificate for everybody; each replaced in one step.  Raises `OSError`."""
    encoding, no_encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    replace_private(key, pair.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_encryption))
    replace_private(certificate, pair.certificate.public_bytes(encoding))
    certificate.chmod(0o644)
