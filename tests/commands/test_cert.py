"""commands/cert.py and commands/authority.py: the certificate for TLS, made and renewed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

import commands.cert
from commands import authority
from config import Config, ConfigError
from sip.tls import Certificate
from tests.support.program import PROGRAM
from tests.support.tls import client_context

generate_private_key = rsa.generate_private_key
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def key_store() -> Callable[[int], Iterator[rsa.RSAPrivateKey]]:
    """Keys by size, the first few made and then the same again: what takes longest in all this is to find primes."""
    made: dict[int, list[rsa.RSAPrivateKey]] = {}

    def keys(size: int) -> Iterator[rsa.RSAPrivateKey]:
        stock = made.setdefault(size, [])
        for number in itertools.count():
            if number == len(stock):
                stock.append(generate_private_key(65537, size))
            yield stock[number]

    return keys


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch, key_store: Callable[[int], Iterator[rsa.RSAPrivateKey]]) -> None:
    """Each key that a test asks for is another one; the next test gets the same ones."""
    keys = {size: key_store(size) for size in (2048, 3072)}
    monkeypatch.setattr(rsa, "generate_private_key", lambda public_exponent, key_size: next(keys[key_size]))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path / "data", server_address="192.0.2.1")


@pytest.fixture
def ca() -> authority.Pair:
    return authority.make_authority(NOW, "the office")


def run(config: Config, *arguments: str) -> int:
    parser = commands.cert.argparse.ArgumentParser()
    commands.cert.add_arguments(parser)
    return commands.cert.run(parser.parse_args(arguments), config)


def files(config: Config) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (config.data_dir / "tls").iterdir()}


def server_names(config: Config) -> tuple[str, ...]:
    directory = config.data_dir / "tls"
    pair = authority.read(directory / "server.pem", directory / "server.key")
    assert pair is not None
    return pair.names


# ------------------------------------------------------------------------------------------------ the command


def test_the_first_run_makes_an_authority_and_a_certificate_the_server_can_use(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "--name", "PBX.Example.org.", "--name", "2001:db8::7") == 0

    directory = config.data_dir / "tls"
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "server.key": 0o600,
        "server.pem": 0o644,
    }
    assert directory.stat().st_mode & 0o777 == 0o700
    names = server_names(config)
    assert names[0] == "pbx.example.org"
    assert {"pbx.example.org", "2001:db8::7", "192.0.2.1", "localhost", "127.0.0.1", "::1"} <= set(names)
    Certificate(directory / "server.pem", directory / "server.key")
    client_context(directory / "ca.pem")
    said = capsys.readouterr().out
    assert "A certificate authority was made" in said
    assert str(directory / "ca.pem") in said
    assert "docs/tls.md" in said


def test_a_good_certificate_is_left_alone(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "--name", "pbx.example.org")
    before = files(config)
    capsys.readouterr()

    assert run(config) == 0

    assert files(config) == before
    assert "nothing was changed" in capsys.readouterr().out


def test_a_new_name_makes_a_new_certificate_of_the_same_authority_with_the_old_names(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config, "--name", "pbx.example.org")
    before = files(config)
    capsys.readouterr()

    run(config, "--name", "phones.example.org")

    after = files(config)
    assert (after["ca.pem"], after["ca.key"]) == (before["ca.pem"], before["ca.key"])
    assert after["server.pem"] != before["server.pem"]
    assert {"pbx.example.org", "phones.example.org"} <= set(server_names(config))
    assert "the old one lacked phones.example.org" in capsys.readouterr().out


def test_force_forgets_the_names_that_are_not_asked_for_any_more(config: Config) -> None:
    run(config, "--name", "pbx.example.org")
    run(config, "--force", "--name", "phones.example.org")
    assert "phones.example.org" in server_names(config)
    assert "pbx.example.org" not in server_names(config)


def test_a_certificate_that_ends_soon_is_renewed(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "--days", "29")
    capsys.readouterr()
    before = files(config)

    run(config)

    assert files(config)["server.pem"] != before["server.pem"]
    assert files(config)["ca.pem"] == before["ca.pem"]
    assert "the old one is valid until" in capsys.readouterr().out


def test_an_authority_that_ends_soon_is_replaced_and_so_is_what_it_signed(config: Config) -> None:
    directory = config.data_dir / "tls"
    run(config)
    old = authority.make_authority(datetime.now(UTC) - timedelta(days=authority.AUTHORITY_DAYS - 10), "the office")
    authority.write(old, directory / "ca.pem", directory / "ca.key")

    run(config)

    ca = authority.read(directory / "ca.pem", directory / "ca.key")
    server = authority.read(directory / "server.pem", directory / "server.key")
    assert ca is not None
    assert server is not None
    assert ca.expires > old.expires
    assert ca.signed(server)


@pytest.mark.parametrize("name", ["ca.key", "server.pem"])
def test_a_damaged_file_is_named_and_nothing_is_overwritten(config: Config, name: str) -> None:
    run(config)
    (config.data_dir / "tls" / name).write_text("junk")
    before = files(config)
    with pytest.raises(ConfigError, match="set it right, or move it away"):
        run(config)
    assert files(config) == before


def test_an_authority_whose_key_is_kept_elsewhere_is_not_replaced(config: Config) -> None:
    run(config)
    (config.data_dir / "tls" / "ca.key").unlink()
    before = files(config)
    with pytest.raises(ConfigError, match=r"ca\.key, the key of the authority, is missing"):
        run(config)
    assert files(config) == before


def test_a_data_directory_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="DATA_DIR"):
        run(Config(data_dir=Path(":memory:")))


@pytest.mark.parametrize(
    "arguments", [["--days", "0"], ["--days", "826"], ["--days", "x"], ["--name", "a b"], ["--name", ""]]
)
def test_what_can_not_be_is_refused(config: Config, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(config, *arguments)
    assert caught.value.code == 2


def test_that_the_settings_win_is_said(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Config(data_dir=config.data_dir, tls_cert=tmp_path / "mine.pem"))
    assert "The server does not use it: TLS_CERT is set" in capsys.readouterr().out


def test_the_program_knows_the_command(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, PROGRAM, "cert"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "A certificate was made" in done.stdout
    assert (tmp_path / "tls" / "server.pem").exists()


def test_starting_the_server_does_not_load_cryptography(tmp_path: Path) -> None:
    code = "import sys, sipserver; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ------------------------------------------------------------------------------------------------ the authority


def test_the_certificate_ends_with_its_authority_at_the_latest(ca: authority.Pair) -> None:
    early = authority.make_server(ca, ["h"], NOW, 100)
    late = authority.make_server(ca, ["h"], ca.expires - timedelta(days=5), 100)
    assert early.expires == NOW + timedelta(days=100)
    assert late.expires == ca.expires


def test_the_authority_signed_its_own_and_no_others(ca: authority.Pair) -> None:
    other = authority.make_authority(NOW, "the office")
    server = authority.make_server(ca, ["h"], NOW, 100)
    assert ca.signed(server)
    assert not other.signed(server)


def test_an_ipv4_address_is_also_a_host_name(ca: authority.Pair) -> None:
    """Linphone looks for it there."""
    certificate = authority.make_server(ca, ["192.0.2.1", "2001:db8::1", "h"], NOW, 100).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["192.0.2.1", "h"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1", "2001:db8::1"]


def test_a_long_host_name_fits(ca: authority.Pair) -> None:
    """A common name has 64 characters at most (RFC 5280 A.1); the name that counts is the alternative one."""
    name = ".".join(["a" * 60] * 4)
    assert authority.make_server(ca, [name], NOW, 100).names == (name,)
