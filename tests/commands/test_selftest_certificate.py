"""What the self-test finds of the certificate for TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands import authority
from commands.selftest import certificate
from commands.selftest.verdict import Finding, Level
from tests.support.office import Office
from tests.support.selftest import scene_of
from tests.support.tls import TlsFiles

DAYS = 90


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for loopback, good for 90 days, and the authority that made it."""
    directory = tmp_path_factory.mktemp("tls")
    made = TlsFiles(directory / "server.pem", directory / "server.key", directory / "ca.pem")
    now = datetime.now(UTC)
    ca = authority.make_authority(now, "the tests")
    authority.write(ca, made.ca, directory / "ca.key")
    server = authority.make_server(ca, ["localhost", "127.0.0.1"], now, DAYS)
    authority.write(server, made.certificate, made.key)
    return made


def check(office: Office, files: TlsFiles, days_from_now: int = 0, **changes: object) -> Finding:
    scene = scene_of(office, tls_cert=files.certificate, tls_key=files.key, sip_tls_port=office.server.tls_port)
    scene = replace(scene, config=replace(scene.config, **changes))
    return certificate.check(scene, datetime.now(UTC) + timedelta(days=days_from_now))


@pytest.fixture
def office_with_tls(start_office: Callable[..., Office], files: TlsFiles) -> Office:
    return start_office(tls_cert=files.certificate, tls_key=files.key)


def test_a_certificate_of_the_own_authority_is_good(office_with_tls: Office, files: TlsFiles) -> None:
    found = check(office_with_tls, files)
    assert found.level is Level.OK
    assert str(files.ca) in found.meaning


@pytest.mark.parametrize(
    ("days", "level", "title"),
    [
        (DAYS - 31, Level.OK, "The certificate is good"),
        (DAYS - 20, Level.WARNING, "The certificate expires soon"),
        (DAYS + 1, Level.DANGER, "The certificate has expired"),
    ],
)
def test_the_end_of_a_certificate_is_announced(
    office_with_tls: Office, files: TlsFiles, days: int, level: Level, title: str
) -> None:
    found = check(office_with_tls, files, days)
    assert (found.level, found.title) == (level, title)


@pytest.mark.parametrize("name", ["pbx.selftest.invalid", "192.0.2.99"])
def test_a_certificate_for_another_name_is_named(office_with_tls: Office, files: TlsFiles, name: str) -> None:
    found = check(office_with_tls, files, server_address=name)
    assert (found.level, found.title) == (Level.WARNING, f"The certificate is not for {name}")


def test_a_certificate_of_nobody_known_is_not_trusted(office_with_tls: Office, files: TlsFiles, tmp_path: Path) -> None:
    alone = tmp_path / "server.pem"
    alone.write_bytes(files.certificate.read_bytes())
    found = check(office_with_tls, files, tls_cert=alone)
    assert (found.level, found.title) == (Level.WARNING, "Phones have no reason to trust the certificate")


def test_a_certificate_that_the_server_does_not_show_is_noticed(office: Office, files: TlsFiles) -> None:
    assert check(office, files, sip_tls_port=1).title == "TLS does not work"
    assert check(office, files, sip_tls_port=0).level is Level.SKIPPED


def test_no_tls_is_a_warning_on_the_internet_only(office: Office) -> None:
    scene = scene_of(office)
    assert certificate.check(scene).level is Level.OK
    public = replace(scene, config=replace(scene.config, server_address="8.8.8.8"))
    assert certificate.check(public).level is Level.WARNING
