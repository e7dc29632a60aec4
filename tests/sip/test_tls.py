"""sip/tls.py: the certificate in force, and TLS as a codec."""

from __future__ import annotations

import logging
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from config import Config, ConfigError
from sip.tls import Certificate, TlsCodec, certificate_files, load_certificate
from tests.support.tls import TlsFiles, client_context


class Client:
    """The other side, in memory."""

    def __init__(self, ca: Path, codec: TlsCodec) -> None:
        self.received, self.to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context(ca).wrap_bio(self.received, self.to_send, server_hostname="localhost")
        self.codec = codec

    def shake_hands(self, piece: int = 1 << 20) -> None:
        """With what goes to the server cut into pieces of so many bytes."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.pass_on(piece)
                continue
            self.pass_on(piece)
            return

    def pass_on(self, piece: int = 1 << 20) -> bytes:
        """Bytes to the server and back; what the server got out of them."""
        data = self.to_send.read()
        text = b"".join(self.codec.decode(data[start : start + piece]) for start in range(0, len(data), piece))
        if self.codec.has_output:
            self.received.write(self.codec.encode(b""))
        return text


@pytest.fixture
def codec(tls_files: TlsFiles) -> TlsCodec:
    return Certificate(tls_files.certificate, tls_files.key).new_codec()


@pytest.fixture
def client(tls_files: TlsFiles, codec: TlsCodec) -> Client:
    return Client(tls_files.ca, codec)


# ------------------------------------------------------------------------------------------------ codec


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_bytes_pass_both_ways_however_they_are_cut(client: Client, codec: TlsCodec, piece: int) -> None:
    client.shake_hands(piece)
    client.tls.write(b"REGISTER")
    client.tls.write(b" and more")
    assert client.pass_on(piece) == b"REGISTER and more"
    assert not codec.has_output

    client.received.write(codec.encode(b"200 ") + codec.encode(b"OK"))
    assert client.tls.read(100) + client.tls.read(100) == b"200 OK"


def test_more_than_one_record_comes_out_at_once(client: Client) -> None:
    client.shake_hands()
    client.tls.write(bytes(100_000))
    assert client.pass_on() == bytes(100_000)


def test_the_end_is_told_after_what_came_before_it(client: Client, codec: TlsCodec) -> None:
    client.shake_hands()
    client.tls.write(b"BYE")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert client.pass_on() == b"BYE"
    assert codec.is_ended


def test_the_farewell_is_a_close_notify(client: Client, codec: TlsCodec) -> None:
    client.shake_hands()
    client.received.write(codec.farewell())
    assert client.tls.read(10) == b""


def test_what_is_no_tls_is_an_oserror(codec: TlsCodec) -> None:
    with pytest.raises(OSError, match="SSL"):
        codec.decode(b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n\r\n")


def test_before_the_handshake_nothing_can_be_written(codec: TlsCodec) -> None:
    with pytest.raises(ssl.SSLWantReadError):
        codec.encode(b"too soon")
    assert codec.farewell() == b""


# ------------------------------------------------------------------------------------------------ certificate


def test_without_settings_and_files_there_is_no_certificate(tmp_path: Path) -> None:
    assert certificate_files(Config(data_dir=tmp_path)) is None
    assert load_certificate(Config(data_dir=tmp_path)) is None


def test_settings_win_over_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "server.pem").touch()
    made = tmp_path / "tls" / "server.pem", tmp_path / "tls" / "server.key"
    assert certificate_files(Config(data_dir=tmp_path)) == made
    mine, key = Path("mine.pem"), Path("mine.key")
    assert certificate_files(Config(data_dir=tmp_path, tls_cert=mine, tls_key=key)) == (mine, key)
    assert certificate_files(Config(data_dir=tmp_path, tls_cert=mine)) == (mine, mine)


def test_a_key_in_the_file_of_its_certificate_is_found(tls_files: TlsFiles, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(tls_files.certificate.read_bytes() + tls_files.key.read_bytes())
    assert load_certificate(Config(tls_cert=both)) is not None


def test_what_can_not_be_used_is_said_in_one_line(
    tls_files: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ca, good, key_of_good = Path("ca.pem"), Path("good.pem"), Path("good.key")
    for copy, source in ((ca, tls_files.ca), (good, tls_files.certificate), (key_of_good, tls_files.key)):
        copy.write_bytes(source.read_bytes())
    junk, missing = Path("junk.pem"), Path("missing.pem")
    junk.write_text("junk")
    for name, certificate, key in (
        ("TLS_CERT", missing, key_of_good),
        ("TLS_KEY", good, missing),
        ("TLS_CERT", junk, key_of_good),
        ("TLS_CERT", good, junk),
        ("TLS_CERT", ca, key_of_good),
    ):
        with pytest.raises(ConfigError) as caught:
            load_certificate(Config(tls_cert=certificate, tls_key=key))
        path = key if name == "TLS_KEY" else certificate
        assert str(caught.value).startswith(f"{name}={path}: must be a PEM certificate with its key (")
        assert "\n" not in str(caught.value)
        assert "_ssl.c" not in str(caught.value)


def test_a_key_alone_is_no_use(tls_files: TlsFiles) -> None:
    with pytest.raises(ConfigError, match=r"^TLS_KEY=.*: must be empty, unless TLS_CERT names"):
        load_certificate(Config(tls_key=tls_files.key))


def test_a_key_with_a_passphrase_is_refused_and_not_waited_for(tls_files: TlsFiles, tmp_path: Path) -> None:
    locked = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    key = tmp_path / "locked.key"
    key.write_bytes(locked)
    with pytest.raises(ConfigError, match="passphrase"):
        load_certificate(Config(tls_cert=tls_files.certificate, tls_key=key))


def serial(certificate: Certificate, ca: Path) -> object:
    client = Client(ca, certificate.new_codec())
    client.shake_hands()
    peer = client.tls.getpeercert()
    assert peer is not None
    return peer["serialNumber"]


def test_a_renewed_certificate_is_in_force_at_once_and_a_broken_one_is_not(
    tls_files: TlsFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / "server.pem", tmp_path / "server.key"]
    shutil.copy(tls_files.certificate, files[0])
    shutil.copy(tls_files.key, files[1])
    certificate = Certificate(*files)
    first = serial(certificate, tls_files.ca)
    (tmp_path / "other").mkdir()
    renewed = TlsFiles.make(tmp_path / "other")

    # Key first, as the command does it: for a moment the two do not fit.
    renewed.key.replace(files[1])
    assert serial(certificate, tls_files.ca) == first
    renewed.certificate.replace(files[0])
    with caplog.at_level(logging.INFO):
        assert serial(certificate, renewed.ca) != first
    assert "is in force" in caplog.text

    files[0].unlink()
    assert serial(certificate, renewed.ca) != first
