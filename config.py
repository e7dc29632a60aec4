"""Settings: the environment and `.env` become one frozen, checked, typed `Config`.

The fields of `Config` are the only table of settings: names, defaults, parsers, error texts and `env.example`
all come from them. Pure but for `load` and `dotenv_warnings`, which read `os.environ` and the `.env` file;
the main thread calls these before it starts others. A `Config` never changes, so it needs no lock.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from setting_kinds import (
    DAY_S,
    LISTEN_HOST,
    LISTEN_PORT,
    MAX_DELTA_SECONDS,
    MAX_PORT,
    OPTIONAL_PATH,
    RTP_WORKERS,
    SECONDS,
    SERVICE_NUMBER,
    SWITCH,
    IpNetwork,
    Kind,
    choice,
    parse_advertised_address,
    parse_database_url,
    parse_host_names,
    parse_networks,
    parse_passwords,
    parse_path,
    parse_peer_address,
    parse_realm,
    parse_server_header,
    parse_server_name,
    parse_size,
    parse_token,
    whole,
)

if TYPE_CHECKING:
    from dotenv.parser import Binding

T = TypeVar("T")

ERROR_LOG_NAME = "error.log"
"""Name of the errors-only log file that stands beside LOG_FILE."""
AUDIT_LOG_NAME = "audit.log"
"""Name of the file beside LOG_FILE that tells who changed what through the HTTP API."""
IN_MEMORY = ":memory:"
"""DATA_DIR of a server that keeps nothing."""
EMPTY_COUNTS = "DATA_DIR"
"""The one variable that is set by an empty value too; with all others that means the default."""

MAX_EXTENSIONS = 10_000
PORTS_PER_CALL = 4
"""Smallest media range: an RTP and an RTCP port for each of the two legs of one call."""

_SHOWN_CHARS = 80


class ConfigError(ValueError):
    """A setting that can't be used. `str()` is one line: the variable, its value and what is allowed."""


class NotYet(ConfigError):
    """What the settings name can't be reached now; the same start may succeed later."""


def wrong_value(name: str, value: object, allowed: str) -> ConfigError:
    """The error for `name` set to `value`; `allowed` completes the sentence "must be ..."."""
    return ConfigError(f"{name}={_one_line(str(value))}: must be {allowed}")


def _one_line(text: str) -> str:
    if len(text) > _SHOWN_CHARS:
        text = text[:_SHOWN_CHARS] + "..."
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _parse_data_dir(text: str) -> Path:
    return parse_path(text or IN_MEMORY)


def _parse_log_file(text: str) -> Path:
    path = parse_path(text)
    if path.name in ("", "..", ERROR_LOG_NAME, AUDIT_LOG_NAME):
        raise ValueError(text)
    return path


def _setting(default: str, kind: Kind[T], explanation: str, *, secret: bool = False, live: bool = False) -> T:
    """A dataclass field whose metadata describe the setting; typed as its value, so that mypy checks it.  `live`: it
    can be changed while the server runs (`reload.py`)."""
    result: Any = field(
        default=kind.parse(default),
        metadata={"default": default, "kind": kind, "explanation": explanation, "secret": secret, "live": live},
        repr=not secret,
    )
    return result  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, one field per variable (the name in lower case).

    The relations between fields hold in every instance, `dataclasses.replace` included. The limits of
    a single value hold in what `load` returns; code may go below them (a timeout of half a second in a test).
    Hosts are IP literals. Durations are seconds, `log_max_size` is bytes.
    """

    server_address: str = _setting(
        "",
        Kind(
            parse_advertised_address,
            "an IP address or host name that the phones can reach (not 0.0.0.0 or ::), or empty",
        ),
        "Address written into SDP, Via and Record-Route; empty = for each phone the one it is reached from.",
    )
    sip_host: str = _setting("0.0.0.0", LISTEN_HOST, "Address to listen on for SIP; never advertised.")
    sip_port: int = _setting("5060", LISTEN_PORT, "Port for SIP over UDP and TCP; 0 = any free port.")
    sip_tls_port: int = _setting(
        "5061",
        LISTEN_PORT,
        "Port for SIP over TLS, open as soon as there is a certificate; 0 = any free port.",
    )
    sip_max_connections: int = _setting(
        "500", whole(1, 100_000, "a number"), "SIP connections over TCP and TLS at once."
    )
    sip_max_connections_per_source: int = _setting(
        "100",
        whole(1, 100_000, "a number"),
        "How many of them one address may have; phones behind one router share theirs.",
    )
    tls_cert: Path | None = _setting(  # noqa: RUF009
        "",
        OPTIONAL_PATH,
        "Certificate chain (PEM) for TLS; empty = the one that `python sipserver.py cert` has made, if it has.",
    )
    tls_key: Path | None = _setting(  # noqa: RUF009
        "", OPTIONAL_PATH, "Key (PEM) to TLS_CERT; empty = it stands in the same file."
    )
    api_host: str = _setting(
        "127.0.0.1",
        LISTEN_HOST,
        "Address to listen on for HTTP; on any but a loopback address every request needs API_TOKEN.",
    )
    api_port: int = _setting("3000", LISTEN_PORT, "Port for the HTTP API; 0 = any free port.")
    api_tls: bool = _setting(
        "false", SWITCH, "true = the HTTP API speaks HTTPS, and nothing else, with the certificate of SIP over TLS."
    )
    rtp_host: str = _setting("0.0.0.0", LISTEN_HOST, "Address to listen on for media; never advertised.")
    rtp_port: int = _setting(
        "10000",
        whole(0, MAX_PORT, "a port", " (0 = any free ports)"),
        "First port of the media range; 0 = any free ports, and RTP_PORT_MAX has no effect.",
    )
    rtp_port_max: int = _setting(
        "10999",
        whole(1, MAX_PORT, "a port"),
        "Last port of the media range; a call with sound alone takes four ports.",
    )
    rtp_workers: int | None = _setting(
        "auto",
        RTP_WORKERS,
        "Processes that copy the media of calls (Linux): auto = as many as are needed, none for a few calls; "
        "0 = the server does it itself.",
    )
    ext_min: int = _setting(
        "100", whole(1, 999_999_999, "an extension number"), "First valid extension number.", live=True
    )
    ext_max: int = _setting(
        "110",
        whole(1, 999_999_999, "an extension number"),
        f"Last valid extension number; at most {MAX_EXTENSIONS} numbers in all.",
        live=True,
    )
    test_echo: str = _setting(
        "*43", SERVICE_NUMBER, "Number to dial to hear oneself back, outside EXT_MIN to EXT_MAX; off = none."
    )
    test_quality: str = _setting(
        "*44",
        SERVICE_NUMBER,
        "Number that measures the sound in both directions, says by tones how it was; off = none.",
    )
    test_tone: str = _setting(
        "*41", SERVICE_NUMBER, "Number that plays a melody, and the tone of each key that is pressed; off = none."
    )
    log_level: str = _setting(
        "info", choice("error", "warn", "info", "debug"), "What is logged: error, warn, info or debug.", live=True
    )
    log_file: Path = _setting(  # noqa: RUF009 - a Path is immutable
        "./logs/sip-server.log",
        Kind(_parse_log_file, f"the path of a file not named {ERROR_LOG_NAME} or {AUDIT_LOG_NAME}"),
        f"Log file, one JSON object a line; {ERROR_LOG_NAME} (errors alone) and {AUDIT_LOG_NAME} stand beside it.",
    )
    log_max_size: int = _setting(
        "10m",
        Kind(parse_size, "a size from 1k to 100g, such as 500k, 10m or 1g"),
        "Size at which a log file is rotated; k, m and g stand for KiB, MiB and GiB.",
    )
    log_max_files: int = _setting(
        "5", whole(1, 1000, "a number"), "How many log files are kept in all, the current one included."
    )
    app_env: str = _setting(
        "production",
        choice("production", "development"),
        "production, or development, which opens the API's admin routes.",
    )
    data_dir: Path = _setting(  # noqa: RUF009
        "./data",
        Kind(_parse_data_dir, "the path of a directory"),
        f"Directory for what the server keeps; empty or {IN_MEMORY} = it keeps nothing when it ends.",
    )
    database_url: str = _setting(
        "",
        Kind(parse_database_url, "empty, or postgresql://user:password@host:port/database"),
        "PostgreSQL database, which several servers may share; empty = one SQLite file in DATA_DIR.",
        secret=True,
    )
    server_name: str = _setting(
        "",
        Kind(parse_server_name, "up to 63 letters, digits, dots and hyphens, or empty"),
        "Name of this server among those on one DATABASE_URL, each its own; empty = the name of the machine.",
    )
    peer_address: str = _setting(
        "",
        Kind(parse_peer_address, "an IP address that the other servers can reach (not 0.0.0.0 or ::), or empty"),
        "IP address at which those servers reach this one's SIP_PORT; empty = the one it reaches the database from.",
    )
    expires_default: int = _setting(
        "3600",
        whole(1, MAX_DELTA_SECONDS, "whole seconds"),
        "Seconds a registration lasts when the phone names no time.",
        live=True,
    )
    # RFC 3261 10.3 step 7: a registrar may refuse an interval as too brief only when it is under one hour.
    expires_min: int = _setting(
        "60",
        whole(1, 3600, "whole seconds"),
        "Shortest registration in seconds; a phone that asks for less is told so (423).",
        live=True,
    )
    expires_max: int = _setting(
        "86400",
        whole(1, MAX_DELTA_SECONDS, "whole seconds"),
        "Longest registration in seconds; a phone that asks for more gets this.",
        live=True,
    )
    call_setup_timeout: float = _setting(
        "180", SECONDS, "Seconds after which a call that nobody has answered is ended.", live=True
    )
    media_timeout: float = _setting(
        "60", SECONDS, "Seconds without media in either direction after which a call is ended.", live=True
    )
    api_token: str = _setting(
        "",
        Kind(parse_token, "made of letters, digits and ._~+/- (= at the end), as in Authorization: Bearer"),
        "Token for the API; empty = made at the first start if needed and kept in DATA_DIR.",
        secret=True,
    )
    api_hosts: tuple[str, ...] = _setting(
        "",
        Kind(parse_host_names, "host names without port, separated by commas, such as pbx.example.org, or empty"),
        "Names by which others reach the API, such as that of a proxy in front of it; with any, API_TOKEN is needed.",
    )
    api_rate_limit: int = _setting(
        "600",
        whole(0, 1_000_000, "a number", " (0 = no limit)"),
        "HTTP requests a minute allowed to one address; 0 = no limit.",
    )
    api_event_clients: int = _setting(
        "8",
        whole(0, 100, "a number"),
        "How many programs and browsers may follow events live (/api/events) at once; each takes a thread.",
    )
    nat_keepalive: float = _setting(
        "20",
        whole(0, 3600, "whole seconds", " (0 = off)"),
        "Seconds between the OPTIONS pings to a phone behind NAT; 0 = off.",
        live=True,
    )
    auth_realm: str = _setting(
        "sipserver",
        Kind(parse_realm, 'up to 64 letters, digits, spaces and signs of ASCII other than " and \\'),
        "Name under which phones keep their password; with another one, all passwords must be set anew.",
    )
    auth_required: bool = _setting(
        "false",
        SWITCH,
        "true = every phone needs a password, wherever it is; false = in TRUSTED_NETWORKS only a number that has one.",
        live=True,
    )
    trusted_networks: tuple[IpNetwork, ...] = _setting(
        "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,::1/128,fc00::/7,fe80::/10",
        Kind(parse_networks, "networks separated by commas, such as 192.168.1.0/24,fd00::/8, or none"),
        "Networks from which a phone whose number has no password may register and call; none = no network.",
        live=True,
    )
    ext_passwords: tuple[tuple[str, str], ...] = _setting(
        "",
        Kind(parse_passwords, "number:password pairs separated by commas, each number once, no comma in a password"),
        "Passwords of phones, such as 100:...,101:... ; they take precedence over those set by the passwd command.",
        secret=True,
        live=True,
    )
    ext_passwords_file: Path | None = _setting(  # noqa: RUF009
        "",
        OPTIONAL_PATH,
        "File with such passwords, number:password one a line, as containers get their secrets.",
        live=True,
    )
    server_header: str = _setting(
        "",
        Kind(parse_server_header, "printable ASCII text of at most 64 characters"),
        "Server header of what this server answers itself; empty = none, so that strangers learn no version.",
        live=True,
    )
    sip_rate_limit: int = _setting(
        "100",
        whole(0, 1_000_000, "a number", " (0 = no limit)"),
        "SIP messages a second allowed to one address without a registered phone, ten times as many to one with; "
        "0 = no limit.",
        live=True,
    )
    ban_after: int = _setting(
        "10",
        whole(0, 10_000, "a number", " (0 = never)"),
        "Wrong passwords within BAN_WINDOW seconds after which an address is banned; 0 = never.",
        live=True,
    )
    ban_window: float = _setting(
        "600", SECONDS, "Seconds within which wrong passwords are counted together, from the first one on.", live=True
    )
    ban_time: float = _setting(
        "3600", whole(1, 365 * DAY_S, "whole seconds"), "Seconds that a ban for wrong passwords lasts.", live=True
    )
    history_days: int = _setting(
        "365",
        whole(0, 36_500, "a number of days", " (0 = for ever)"),
        "Days that ended calls stay in the call history; 0 = for ever.",
        live=True,
    )
    trace_days: int = _setting(
        "7",
        whole(0, 36_500, "a number of days", " (0 = none is kept)"),
        "Days that the messages and figures of ended calls are kept for explanations and captures; 0 = none is kept.",
        live=True,
    )
    trace_max_mb: int = _setting(
        "200",
        whole(1, 1_000_000, "whole megabytes"),
        "Megabytes that they may take in DATA_DIR together; beyond that the oldest calls lose theirs.",
        live=True,
    )
    trace_rtp: str = _setting(
        "off",
        choice("off", "headers"),
        "off, or headers: keep the RTP headers of the last minute of each call for captures, never what is said.",
    )

    def __post_init__(self) -> None:
        """Raise ConfigError where two settings contradict each other."""
        if self.sip_port == self.api_port != 0:
            raise wrong_value(
                "API_PORT", self.api_port, f"another port than SIP_PORT={self.sip_port}, which takes TCP too"
            )
        if self.rtp_port:
            self._check_media_range()
        if self.ext_min > self.ext_max:
            raise wrong_value("EXT_MIN", self.ext_min, f"at most EXT_MAX={self.ext_max}")
        if self.ext_max - self.ext_min >= MAX_EXTENSIONS:
            raise wrong_value(
                "EXT_MAX",
                self.ext_max,
                f"at most {self.ext_min + MAX_EXTENSIONS - 1}: {MAX_EXTENSIONS} from EXT_MIN={self.ext_min}",
            )
        self._check_service_numbers()
        for number, _ in self.ext_passwords:
            if not self.ext_min <= int(number) <= self.ext_max:
                raise ConfigError(
                    f"EXT_PASSWORDS: {number} is not from EXT_MIN={self.ext_min} to EXT_MAX={self.ext_max}"
                )
        if self.expires_min > self.expires_max:
            raise wrong_value("EXPIRES_MIN", self.expires_min, f"at most EXPIRES_MAX={self.expires_max}")
        if not self.expires_min <= self.expires_default <= self.expires_max:
            raise wrong_value(
                "EXPIRES_DEFAULT",
                self.expires_default,
                f"from EXPIRES_MIN={self.expires_min} to EXPIRES_MAX={self.expires_max}",
            )

    def _check_service_numbers(self) -> None:
        names = {"TEST_ECHO": self.test_echo, "TEST_QUALITY": self.test_quality, "TEST_TONE": self.test_tone}
        taken: dict[str, str] = {}
        for name, number in names.items():
            if number.isdigit() and self.ext_min <= int(number) <= self.ext_max:
                allowed = f"a number outside EXT_MIN={self.ext_min} to EXT_MAX={self.ext_max}, such as *43, or off"
                raise wrong_value(name, number, allowed)
            if number in taken:
                raise wrong_value(name, number, f"another number than {taken[number]}, or off")
            if number:
                taken[number] = name

    def _check_media_range(self) -> None:
        # RFC 3550 11: RTP takes an even port and RTCP the next one, so an odd first port is of no use.
        first_even = self.rtp_port + self.rtp_port % 2
        lowest_last = first_even + PORTS_PER_CALL - 1
        if lowest_last > MAX_PORT:
            raise wrong_value(
                "RTP_PORT",
                self.rtp_port,
                f"at most {MAX_PORT - PORTS_PER_CALL + 1}: a call takes {PORTS_PER_CALL} ports",
            )
        if self.rtp_port_max < lowest_last:
            raise wrong_value(
                "RTP_PORT_MAX",
                self.rtp_port_max,
                f"at least {lowest_last}: a call takes {PORTS_PER_CALL} ports from RTP_PORT={self.rtp_port}",
            )


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable as the outside sees it; `default` is the text that stands in `env.example`."""

    name: str
    default: str
    explanation: str
    allowed: str
    secret: bool
    live: bool
    parse: Callable[[str], object]

    def read(self, text: str) -> object:
        """The typed value of `text`; ConfigError when it can't be used, with a secret's value masked."""
        try:
            return self.parse(text)
        except ValueError:
            raise wrong_value(self.name, "***" if self.secret else text, self.allowed) from None


def _settings() -> Iterator[Setting]:
    for each in fields(Config):
        about, kind = each.metadata, each.metadata["kind"]
        yield Setting(
            name=each.name.upper(),
            default=about["default"],
            explanation=about["explanation"],
            allowed=kind.allowed,
            secret=about["secret"],
            live=about["live"],
            parse=kind.parse,
        )


SETTINGS: tuple[Setting, ...] = tuple(_settings())


def load(env: Mapping[str, str] | None = None, dotenv_path: Path | None = None) -> Config:
    """Read and check all settings; what `env` holds wins over the `.env` file, even when it is empty.

    Without `env` that is the process environment together with `./.env`; with `env` and no `dotenv_path` no
    file is read. A missing file counts as an empty one, an empty value as none (but for `EMPTY_COUNTS`); unknown names
    are ignored.
    """
    if env is None:
        env, dotenv_path = os.environ, dotenv_path or Path(".env")
    texts = {**(_read_dotenv(dotenv_path) if dotenv_path else {}), **env}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = _trimmed(texts.get(setting.name, ""))
        if text or (setting.name in texts and setting.name == EMPTY_COUNTS):
            values[setting.name.lower()] = setting.read(text)
    return Config(**values)


def dotenv_warnings(dotenv_path: Path | None = None) -> list[str]:
    """One line for each name in the `.env` file (`./.env` by default) that looks like a setting misspelt."""
    names = [setting.name for setting in SETTINGS]
    warnings = []
    for name in _read_dotenv(dotenv_path or Path(".env")):
        from difflib import get_close_matches  # many servers have no such file

        close = get_close_matches(name.upper(), names, n=1, cutoff=0.8)
        if name not in names and close:
            warnings.append(f"{_one_line(name)} in .env is not a setting and has no effect; is {close[0]} meant?")
    return warnings


def env_example() -> str:
    """The text of `env.example`: every setting with one line of explanation and its default."""
    head = (
        "# Copy this file to .env and change what you need; the process environment wins over .env.\n"
        "# A * marks what takes effect on SIGHUP (systemctl reload sipserver); all else needs a restart.\n"
    )
    return head + "".join(
        f"\n#{' *' if setting.live else ''} {setting.explanation}\n{setting.name}={setting.default}\n"
        for setting in SETTINGS
    )


def _trimmed(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _read_dotenv(path: Path) -> dict[str, str]:
    """Names and values of a `.env` file, without `${...}` expansion (a token may hold a dollar sign)."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{_one_line(str(path))}: can't be read ({reason})") from None
    return {binding.key: binding.value or "" for binding in _bindings(path, text) if binding.key is not None}


def _bindings(path: Path, text: str) -> Iterator[Binding]:
    from dotenv.parser import parse_stream  # takes a while to load, and many servers have no such file

    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            # The line itself isn't shown: it may hold a secret.
            raise ConfigError(f"{_one_line(str(path))}: line {binding.original.line} must be NAME=value")
        yield binding
