"""`config.py`: every variable's default, good and bad values, the relations between them, and `.env`."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_network
from pathlib import Path

import pytest

import config
from config import Config, ConfigError, load

PORT = "a port from 0 to 65535 (0 = any free port)"
HOST = "an IP address of this machine, 0.0.0.0 or :: for all of them, or localhost"
ADDRESS = "an IP address or host name that the phones can reach (not 0.0.0.0 or ::), or empty"
EXTENSION = "an extension number from 1 to 999999999"
SERVICE_NUMBER = "up to 16 digits, * and #, such as *43, or off"
SIZE = "a size from 1k to 100g, such as 500k, 10m or 1g"
SECONDS = "whole seconds from 1 to 86400"
DELTA_SECONDS = "whole seconds from 1 to 4294967295"
HOST_NAMES = "host names without port, separated by commas, such as pbx.example.org, or empty"
REALM = 'up to 64 letters, digits, spaces and signs of ASCII other than " and \\'
NETWORKS = "networks separated by commas, such as 192.168.1.0/24,fd00::/8, or none"
TOKEN = "made of letters, digits and ._~+/- (= at the end), as in Authorization: Bearer"

DEFAULTS: dict[str, object] = {
    "SERVER_ADDRESS": "",
    "SIP_HOST": "0.0.0.0",
    "SIP_PORT": 5060,
    "SIP_TLS_PORT": 5061,
    "SIP_MAX_CONNECTIONS": 500,
    "SIP_MAX_CONNECTIONS_PER_SOURCE": 100,
    "TLS_CERT": None,
    "TLS_KEY": None,
    "API_HOST": "127.0.0.1",
    "API_PORT": 3000,
    "API_TLS": False,
    "RTP_HOST": "0.0.0.0",
    "RTP_PORT": 10000,
    "RTP_PORT_MAX": 10999,
    "RTP_WORKERS": None,
    "EXT_MIN": 100,
    "EXT_MAX": 110,
    "TEST_ECHO": "*43",
    "TEST_QUALITY": "*44",
    "TEST_TONE": "*41",
    "LOG_LEVEL": "info",
    "LOG_FILE": Path("logs/sip-server.log"),
    "LOG_MAX_SIZE": 10 * 1024 * 1024,
    "LOG_MAX_FILES": 5,
    "APP_ENV": "production",
    "DATA_DIR": Path("data"),
    "DATABASE_URL": "",
    "SERVER_NAME": "",
    "PEER_ADDRESS": "",
    "EXPIRES_DEFAULT": 3600,
    "EXPIRES_MIN": 60,
    "EXPIRES_MAX": 86400,
    "CALL_SETUP_TIMEOUT": 180,
    "MEDIA_TIMEOUT": 60,
    "API_TOKEN": "",
    "API_HOSTS": (),
    "API_RATE_LIMIT": 600,
    "API_EVENT_CLIENTS": 8,
    "NAT_KEEPALIVE": 20,
    "AUTH_REALM": "sipserver",
    "AUTH_REQUIRED": False,
    "TRUSTED_NETWORKS": tuple(
        ip_network(text)
        for text in (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        )
    ),
    "EXT_PASSWORDS": (),
    "EXT_PASSWORDS_FILE": None,
    "SERVER_HEADER": "",
    "SIP_RATE_LIMIT": 100,
    "BAN_AFTER": 10,
    "BAN_WINDOW": 600,
    "BAN_TIME": 3600,
    "HISTORY_DAYS": 365,
    "TRACE_DAYS": 7,
    "TRACE_MAX_MB": 200,
    "TRACE_RTP": "off",
}

GOOD: list[tuple[str, str, object]] = [
    ("SERVER_ADDRESS", "192.168.1.10", "192.168.1.10"),
    ("SERVER_ADDRESS", "2001:DB8:0::1", "2001:db8::1"),
    ("SERVER_ADDRESS", "pbx.example.com", "pbx.example.com"),
    ("SERVER_ADDRESS", "office-1", "office-1"),
    ("SERVER_ADDRESS", "127.0.0.1", "127.0.0.1"),
    ("SIP_HOST", "::", "::"),
    ("SIP_HOST", "localhost", "127.0.0.1"),
    ("SIP_HOST", "fe80::1%eth0", "fe80::1%eth0"),
    ("SIP_PORT", "0", 0),
    ("SIP_PORT", "65535", 65535),
    ("SIP_TLS_PORT", "0", 0),
    ("SIP_MAX_CONNECTIONS", "1", 1),
    ("SIP_MAX_CONNECTIONS_PER_SOURCE", "100000", 100000),
    ("TLS_CERT", "/etc/ssl/pbx.pem", Path("/etc/ssl/pbx.pem")),
    ("TLS_KEY", "/etc/ssl/pbx.key", Path("/etc/ssl/pbx.key")),
    ("API_HOST", "0.0.0.0", "0.0.0.0"),
    ("API_HOST", "LOCALHOST", "127.0.0.1"),
    ("API_PORT", "0", 0),
    ("API_PORT", "8080", 8080),
    ("API_TLS", "TRUE", True),
    ("API_TLS", "false", False),
    ("RTP_HOST", "10.0.0.1", "10.0.0.1"),
    ("RTP_PORT", "0", 0),
    ("RTP_PORT", "10996", 10996),
    ("RTP_PORT_MAX", "10003", 10003),
    ("RTP_PORT_MAX", "65535", 65535),
    ("RTP_WORKERS", "Auto", None),
    ("RTP_WORKERS", "0", 0),
    ("RTP_WORKERS", "64", 64),
    ("EXT_MIN", "1", 1),
    ("EXT_MIN", "110", 110),
    ("EXT_MAX", "100", 100),
    ("EXT_MAX", "10099", 10099),
    ("TEST_ECHO", "9196", "9196"),
    ("TEST_QUALITY", "*#06#", "*#06#"),
    ("TEST_TONE", "Off", ""),
    ("LOG_LEVEL", "error", "error"),
    ("LOG_LEVEL", "warn", "warn"),
    ("LOG_LEVEL", "Info", "info"),
    ("LOG_LEVEL", "DEBUG", "debug"),
    ("LOG_FILE", "/var/log/sip.log", Path("/var/log/sip.log")),
    ("LOG_FILE", "журнал/sip server.log", Path("журнал/sip server.log")),
    ("LOG_MAX_SIZE", "1024", 1024),
    ("LOG_MAX_SIZE", "500k", 500 * 1024),
    ("LOG_MAX_SIZE", "20M", 20 * 1024**2),
    ("LOG_MAX_SIZE", "1gb", 1024**3),
    ("LOG_MAX_FILES", "1", 1),
    ("LOG_MAX_FILES", "1000", 1000),
    ("APP_ENV", "Development", "development"),
    ("DATABASE_URL", "postgresql://sip:secret@db.example:5433/sip", "postgresql://sip:secret@db.example:5433/sip"),
    ("DATABASE_URL", "postgres:///sip?host=/run/postgresql", "postgres:///sip?host=/run/postgresql"),
    ("SERVER_NAME", "office-1.example", "office-1.example"),
    ("PEER_ADDRESS", "2001:DB8:0::1", "2001:db8::1"),
    ("DATA_DIR", "/srv/sip", Path("/srv/sip")),
    ("DATA_DIR", "", Path(config.IN_MEMORY)),
    ("DATA_DIR", '""', Path(config.IN_MEMORY)),
    ("EXPIRES_DEFAULT", "60", 60),
    ("EXPIRES_DEFAULT", "86400", 86400),
    ("EXPIRES_MIN", "1", 1),
    ("EXPIRES_MIN", "3600", 3600),
    ("EXPIRES_MAX", "3600", 3600),
    ("EXPIRES_MAX", "4294967295", 4294967295),
    ("CALL_SETUP_TIMEOUT", "1", 1),
    ("MEDIA_TIMEOUT", "86400", 86400),
    ("API_TOKEN", "dG9rZW4+/._~-==", "dG9rZW4+/._~-=="),
    ("API_HOSTS", "pbx.example.org", ("pbx.example.org",)),
    ("API_HOSTS", " PBX, pbx.lan., ", ("pbx", "pbx.lan")),
    ("API_RATE_LIMIT", "0", 0),
    ("API_RATE_LIMIT", "1000000", 1000000),
    ("API_EVENT_CLIENTS", "0", 0),
    ("API_EVENT_CLIENTS", "100", 100),
    ("NAT_KEEPALIVE", "0", 0),
    ("NAT_KEEPALIVE", "3600", 3600),
    ("AUTH_REALM", "Muller & Sons (2nd floor)", "Muller & Sons (2nd floor)"),
    ("AUTH_REALM", "x", "x"),
    ("AUTH_REALM", "x" * 64, "x" * 64),
    ("AUTH_REQUIRED", "true", True),
    ("AUTH_REQUIRED", "false", False),
    ("TRUSTED_NETWORKS", "none", ()),
    ("TRUSTED_NETWORKS", "192.0.2.7", (ip_network("192.0.2.7/32"),)),
    ("TRUSTED_NETWORKS", "192.168.1.10/24, 2001:db8::/32", (ip_network("192.168.1.0/24"), ip_network("2001:db8::/32"))),
    ("TRUSTED_NETWORKS", "0.0.0.0/0", (ip_network("0.0.0.0/0"),)),
    ("EXT_PASSWORDS", "100:geheim:x, 101: y ,", (("100", "geheim:x"), ("101", "y"))),
    ("EXT_PASSWORDS_FILE", "/run/secrets/phones", Path("/run/secrets/phones")),
    ("SERVER_HEADER", "Exchange/1 (office)", "Exchange/1 (office)"),
    ("SIP_RATE_LIMIT", "0", 0),
    ("SIP_RATE_LIMIT", "1000000", 1000000),
    ("BAN_AFTER", "0", 0),
    ("BAN_AFTER", "10000", 10000),
    ("BAN_WINDOW", "86400", 86400),
    ("BAN_TIME", "31536000", 31536000),
    ("HISTORY_DAYS", "0", 0),
    ("HISTORY_DAYS", "36500", 36500),
    ("TRACE_DAYS", "0", 0),
    ("TRACE_MAX_MB", "1", 1),
    ("TRACE_RTP", "Headers", "headers"),
]

BAD: list[tuple[str, str, str]] = [
    *(("SERVER_ADDRESS", bad, ADDRESS) for bad in ("0.0.0.0", "::", "224.0.0.1", "300.1.1.1", "1.2.3")),
    *(("SERVER_ADDRESS", bad, ADDRESS) for bad in ("a b", "-pbx", "pbx..lan", "sip:pbx", "pbx:5060", "[::1]")),
    ("SERVER_ADDRESS", "пбх", ADDRESS),
    *(("SIP_HOST", bad, HOST) for bad in ("eth0", "pbx.lan", "256.0.0.1", "239.1.1.1", "*")),
    ("API_HOST", "any", HOST),
    ("RTP_HOST", "1.2.3.4:5", HOST),
    *(("SIP_PORT", bad, PORT) for bad in ("-1", "65536", "sip", "5060.0", "0x10", "1_0", "+1", "05060", "٥")),
    ("SIP_PORT", "9" * 50, PORT),
    ("SIP_TLS_PORT", "65536", PORT),
    ("SIP_MAX_CONNECTIONS", "0", "a number from 1 to 100000"),
    ("SIP_MAX_CONNECTIONS_PER_SOURCE", "x", "a number from 1 to 100000"),
    ("API_TLS", "yes", "true or false"),
    ("API_PORT", "65536", PORT),
    ("RTP_PORT", "x", "a port from 0 to 65535 (0 = any free ports)"),
    ("RTP_PORT_MAX", "0", "a port from 1 to 65535"),
    ("RTP_WORKERS", "65", "auto or a whole number from 0 to 64"),
    ("RTP_WORKERS", "some", "auto or a whole number from 0 to 64"),
    ("EXT_MIN", "0", EXTENSION),
    ("EXT_MIN", "007", EXTENSION),
    ("EXT_MAX", "1000000000", EXTENSION),
    ("EXT_MAX", "1*0", EXTENSION),
    ("TEST_ECHO", "echo", SERVICE_NUMBER),
    ("TEST_QUALITY", "*44;x", SERVICE_NUMBER),
    ("TEST_TONE", "*" * 17, SERVICE_NUMBER),
    ("LOG_LEVEL", "verbose", "error, warn, info or debug"),
    ("LOG_LEVEL", "warning", "error, warn, info or debug"),
    *(
        ("LOG_FILE", bad, "the path of a file not named error.log or audit.log")
        for bad in ("/", "..", ".", "logs/error.log", "audit.log")
    ),
    *(("LOG_MAX_SIZE", bad, SIZE) for bad in ("0", "1023", "10t", "1.5m", "-1k", "m", "101g", "10 m")),
    ("LOG_MAX_FILES", "0", "a number from 1 to 1000"),
    ("LOG_MAX_FILES", "1001", "a number from 1 to 1000"),
    ("APP_ENV", "test", "production or development"),
    ("EXPIRES_DEFAULT", "0", DELTA_SECONDS),
    ("EXPIRES_MIN", "3601", "whole seconds from 1 to 3600"),
    ("EXPIRES_MAX", "4294967296", DELTA_SECONDS),
    ("CALL_SETUP_TIMEOUT", "0", SECONDS),
    ("CALL_SETUP_TIMEOUT", "3m", SECONDS),
    ("MEDIA_TIMEOUT", "86401", SECONDS),
    *(("API_HOSTS", bad, HOST_NAMES) for bad in ("pbx:3000", "http://pbx", "a b", "*", "pbx,-", "192.0.2.1", "пбх")),
    ("API_RATE_LIMIT", "-1", "a number from 0 to 1000000 (0 = no limit)"),
    ("API_EVENT_CLIENTS", "101", "a number from 0 to 100"),
    ("NAT_KEEPALIVE", "3601", "whole seconds from 0 to 3600 (0 = off)"),
    *(("AUTH_REALM", bad, REALM) for bad in ('a"b', "a\\b", "büro", "x" * 65)),
    ("AUTH_REQUIRED", "maybe", "true or false"),
    *(("TRUSTED_NETWORKS", bad, NETWORKS) for bad in ("lan", "10.0.0.0/33", "10.0.0.0/8,", "10.0.0.0-10.0.0.9")),
    ("SERVER_HEADER", "x" * 65, "printable ASCII text of at most 64 characters"),
    ("SIP_RATE_LIMIT", "1000001", "a number from 0 to 1000000 (0 = no limit)"),
    ("BAN_AFTER", "10001", "a number from 0 to 10000 (0 = never)"),
    ("BAN_WINDOW", "0", SECONDS),
    ("BAN_TIME", "31536001", "whole seconds from 1 to 31536000"),
    ("SERVER_NAME", "two words", "up to 63 letters, digits, dots and hyphens, or empty"),
    ("SERVER_NAME", "a~b", "up to 63 letters, digits, dots and hyphens, or empty"),
    ("SERVER_NAME", "x" * 64, "up to 63 letters, digits, dots and hyphens, or empty"),
    ("PEER_ADDRESS", "office-1", "an IP address that the other servers can reach (not 0.0.0.0 or ::), or empty"),
    ("PEER_ADDRESS", "0.0.0.0", "an IP address that the other servers can reach (not 0.0.0.0 or ::), or empty"),
    ("HISTORY_DAYS", "36501", "a number of days from 0 to 36500 (0 = for ever)"),
    ("TRACE_DAYS", "36501", "a number of days from 0 to 36500 (0 = none is kept)"),
    ("TRACE_MAX_MB", "0", "whole megabytes from 1 to 1000000"),
    ("TRACE_RTP", "all", "off or headers"),
]

CONTRADICTIONS: list[tuple[dict[str, str], str]] = [
    (
        {"SIP_PORT": "5060", "API_PORT": "5060"},
        "API_PORT=5060: must be another port than SIP_PORT=5060, which takes TCP too",
    ),
    ({"EXT_MIN": "111"}, "EXT_MIN=111: must be at most EXT_MAX=110"),
    ({"EXT_MAX": "10100"}, "EXT_MAX=10100: must be at most 10099: 10000 from EXT_MIN=100"),
    (
        {"RTP_PORT": "10997"},
        "RTP_PORT_MAX=10999: must be at least 11001: a call takes 4 ports from RTP_PORT=10997",
    ),
    (
        {"RTP_PORT_MAX": "10002"},
        "RTP_PORT_MAX=10002: must be at least 10003: a call takes 4 ports from RTP_PORT=10000",
    ),
    (
        {"RTP_PORT": "65533", "RTP_PORT_MAX": "65535"},
        "RTP_PORT=65533: must be at most 65532: a call takes 4 ports",
    ),
    (
        {"EXPIRES_DEFAULT": "59"},
        "EXPIRES_DEFAULT=59: must be from EXPIRES_MIN=60 to EXPIRES_MAX=86400",
    ),
    (
        {"EXPIRES_MAX": "1800"},
        "EXPIRES_DEFAULT=3600: must be from EXPIRES_MIN=60 to EXPIRES_MAX=1800",
    ),
    ({"EXPIRES_MAX": "59"}, "EXPIRES_MIN=60: must be at most EXPIRES_MAX=59"),
    (
        {"TEST_ECHO": "105"},
        "TEST_ECHO=105: must be a number outside EXT_MIN=100 to EXT_MAX=110, such as *43, or off",
    ),
    ({"TEST_TONE": "*44"}, "TEST_TONE=*44: must be another number than TEST_QUALITY, or off"),
    ({"EXT_PASSWORDS": "111:geheim"}, "EXT_PASSWORDS: 111 is not from EXT_MIN=100 to EXT_MAX=110"),
]


def refusal(env: dict[str, str], dotenv_path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(env, dotenv_path)
    return str(caught.value)


def dotenv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text, "utf-8")
    return path


def test_the_defaults_are_exactly_these() -> None:
    assert {name.upper(): value for name, value in dataclasses.asdict(Config()).items()} == DEFAULTS
    assert load({}) == Config()


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_good_value(name: str, text: str, value: object) -> None:
    assert getattr(load({name: text}), name.lower()) == value


def test_every_variable_has_a_good_value_here() -> None:
    assert {name for name, _, _ in GOOD} == DEFAULTS.keys()


@pytest.mark.parametrize(("name", "text", "allowed"), BAD)
def test_bad_value_is_one_line_with_name_value_and_what_is_allowed(name: str, text: str, allowed: str) -> None:
    assert refusal({name: text}) == f"{name}={text}: must be {allowed}"


def test_every_variable_that_can_be_wrong_is_refused_here() -> None:
    tested_apart = {
        "API_TOKEN",
        "DATABASE_URL",
        "DATA_DIR",
        "EXT_PASSWORDS",
        "EXT_PASSWORDS_FILE",
        "TLS_CERT",
        "TLS_KEY",
    }
    assert {name for name, _, _ in BAD} | tested_apart == DEFAULTS.keys()


@pytest.mark.parametrize("text", ["two words", "naïve", "a=b", "x\r\nInjected: 1"])
def test_bad_token_is_refused_without_being_shown(text: str) -> None:
    assert refusal({"API_TOKEN": text}) == f"API_TOKEN=***: must be {TOKEN}"


@pytest.mark.parametrize("text", ["100", "100:", ":geheim", "0100:geheim", "bob:geheim", "100:geheim,100:other"])
def test_bad_passwords_are_refused_without_being_shown(text: str) -> None:
    allowed = "number:password pairs separated by commas, each number once, no comma in a password"
    assert refusal({"EXT_PASSWORDS": text}) == f"EXT_PASSWORDS=***: must be {allowed}"


@pytest.mark.parametrize("text", ["mysql://sip:s3cret@db/sip", "sip", "postgresql://db/a\tb"])
def test_a_database_url_is_refused_without_being_shown(text: str) -> None:
    allowed = "empty, or postgresql://user:password@host:port/database"
    assert refusal({"DATABASE_URL": text}) == f"DATABASE_URL=***: must be {allowed}"


@pytest.mark.parametrize(
    "env", [{"API_TOKEN": "s3cret"}, {"EXT_PASSWORDS": "100:s3cret"}, {"DATABASE_URL": "postgresql://a:s3cret@db/a"}]
)
def test_secrets_are_not_in_the_text_form_of_the_config(env: dict[str, str]) -> None:
    assert "s3cret" not in repr(load(env))


def test_bad_value_with_line_ends_stays_one_line() -> None:
    assert refusal({"DATA_DIR": "a\r\nb\x1b[31m"}) == ("DATA_DIR=a\\r\\nb\\x1b[31m: must be the path of a directory")
    shown = "EXT_PASSWORDS_FILE=a\\nb: must be the path of a file, or empty"
    assert refusal({"EXT_PASSWORDS_FILE": "a\nb"}) == shown


def test_long_bad_value_is_cut() -> None:
    assert refusal({"LOG_LEVEL": "x" * 81}) == f"LOG_LEVEL={'x' * 80}...: must be error, warn, info or debug"


@pytest.mark.parametrize(("env", "message"), CONTRADICTIONS)
def test_contradiction_between_settings(env: dict[str, str], message: str) -> None:
    assert refusal(env) == message


def test_contradiction_is_refused_in_code_too() -> None:
    with pytest.raises(ConfigError, match=r"^EXT_MIN=200: must be at most EXT_MAX=110$"):
        dataclasses.replace(Config(), ext_min=200)


def test_code_may_go_below_the_limits_of_a_single_value() -> None:
    assert dataclasses.replace(Config(), media_timeout=0.5, log_max_size=300).media_timeout == 0.5


def test_any_free_port_for_sip_and_api_at_once_is_no_contradiction() -> None:
    loaded = load({"SIP_PORT": "0", "API_PORT": "0"})
    assert (loaded.sip_port, loaded.api_port) == (0, 0)


def test_any_free_media_ports_make_the_last_port_meaningless() -> None:
    assert load({"RTP_PORT": "0", "RTP_PORT_MAX": "1"}).rtp_port == 0


def test_smallest_media_range_at_the_top_of_the_ports() -> None:
    loaded = load({"RTP_PORT": "65532", "RTP_PORT_MAX": "65535"})
    assert (loaded.rtp_port, loaded.rtp_port_max) == (65532, 65535)


@pytest.mark.parametrize("text", ["", "  ", '""', "' '"])
def test_empty_value_is_the_default(text: str) -> None:
    names = sorted(DEFAULTS.keys() - {config.EMPTY_COUNTS})
    assert {name: load({name: text}) for name in names} == dict.fromkeys(names, Config())


@pytest.mark.parametrize("text", [" 5070 ", "5070\r", '"5070"', "'5070'", ' " 5070 " '])
def test_whitespace_and_quotes_around_a_value_are_trimmed(text: str) -> None:
    assert load({"SIP_PORT": text}).sip_port == 5070


def test_a_lone_quote_is_part_of_the_value() -> None:
    assert refusal({"SIP_PORT": '"5070'}) == f'SIP_PORT="5070: must be {PORT}'


def test_unknown_variables_are_ignored(tmp_path: Path) -> None:
    assert load({"PATH": "/bin", "SIP_PROT": "x"}, dotenv(tmp_path, "SOMETHING=else\n")) == Config()


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().sip_port = 1  # type: ignore[misc]


class TestDotenv:
    def test_file_is_read(self, tmp_path: Path) -> None:
        path = dotenv(
            tmp_path,
            "# comment\nexport SIP_PORT=5070\nAPI_PORT = '8080'  # why\n\nLOG_FILE=\"x y.log\"\r\nEXT_MAX=\n",
        )
        loaded = load({}, path)
        assert (loaded.sip_port, loaded.api_port, loaded.log_file) == (5070, 8080, Path("x y.log"))
        assert loaded.ext_max == 110

    def test_environment_wins(self, tmp_path: Path) -> None:
        path = dotenv(tmp_path, "SIP_PORT=5070\nEXT_MAX=120\n")
        loaded = load({"SIP_PORT": "5080"}, path)
        assert (loaded.sip_port, loaded.ext_max) == (5080, 120)

    def test_environment_wins_even_when_empty(self, tmp_path: Path) -> None:
        assert load({"SIP_PORT": ""}, dotenv(tmp_path, "SIP_PORT=5070\n")).sip_port == 5060

    def test_bad_value_that_the_environment_overrides_is_no_error(self, tmp_path: Path) -> None:
        assert load({"SIP_PORT": "5080"}, dotenv(tmp_path, "SIP_PORT=junk\n")).sip_port == 5080

    def test_process_environment_and_file_in_the_current_directory_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in DEFAULTS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)
        dotenv(tmp_path, "SIP_PORT=5070\nAPI_PORT=8080\n")
        monkeypatch.setenv("SIP_PORT", "5080")
        assert load() == dataclasses.replace(Config(), sip_port=5080, api_port=8080)

    def test_given_environment_alone_reads_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        dotenv(tmp_path, "SIP_PORT=5070\n")
        assert load({}).sip_port == 5060

    def test_dollar_signs_are_not_expanded(self, tmp_path: Path) -> None:
        path = dotenv(tmp_path, "SIP_PORT=5070\nLOG_FILE=${SIP_PORT}.log\n")
        assert load({}, path).log_file == Path("${SIP_PORT}.log")

    def test_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        assert load({}, dotenv(tmp_path, "\ufeffSIP_PORT=5070\n")).sip_port == 5070

    def test_missing_file_is_an_empty_one(self, tmp_path: Path) -> None:
        assert load({}, tmp_path / "none") == Config()

    def test_line_that_sets_nothing_is_refused_by_number_but_not_shown(self, tmp_path: Path) -> None:
        path = dotenv(tmp_path, "SIP_PORT=5070\nAPI_TOKEN s3cret\n")
        assert refusal({}, path) == f"{path}: line 2 must be NAME=value"

    def test_file_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / ".env"
        path.write_bytes(b"SIP_PORT=\xff\xfe\n")
        assert refusal({}, path) == f"{path}: can't be read (not UTF-8 text)"

    def test_file_that_is_a_directory_is_refused(self, tmp_path: Path) -> None:
        assert refusal({}, tmp_path) == f"{tmp_path}: can't be read (Is a directory)"


class TestDotenvWarnings:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("SIP_PROT", "SIP_PORT"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("api_token", "API_TOKEN"),
            ("EXT_MAXX", "EXT_MAX"),
        ],
    )
    def test_near_miss_is_named_without_its_value(self, tmp_path: Path, name: str, meant: str) -> None:
        assert config.dotenv_warnings(dotenv(tmp_path, f"{name}=s3cret\n")) == [
            f"{name} in .env is not a setting and has no effect; is {meant} meant?"
        ]

    def test_no_warning_for_our_own_names_nor_for_strangers(self, tmp_path: Path) -> None:
        text = config.env_example() + "PATH=/bin\nTZ=UTC\nFLASK_APP=x\nPYTHONUNBUFFERED=1\n"
        assert config.dotenv_warnings(dotenv(tmp_path, text)) == []

    def test_no_warning_without_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert config.dotenv_warnings() == []
