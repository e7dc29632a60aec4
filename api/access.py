"""Who may use the API: a check of Host and Origin, and a token wherever others than this machine can reach it.

On a loopback address the API is open, but a web page that the administrator happens to visit must not drive it: such
a page betrays itself by its Origin (RFC 6454 7) or by what the browser says of it (Sec-Fetch-Site), or, after DNS
rebinding, by a Host that isn't this machine's. On any other address, and under the names in API_HOSTS, every request
needs the token as `Authorization: Bearer` (RFC 6750 2.1), which no foreign page knows, or the cookie of a session that
was opened with it (`api.session`).

`Gate` is used by all waitress workers, and only its rate limiter and its sessions ever change; `load_or_create_token`
runs in the main thread before they start.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
import socket
from pathlib import Path

from werkzeug.wrappers import Request

from api.audit import READING_METHODS
from api.errors import Problem
from api.rate_limit import RateLimiter
from api.sessions import SessionBook
from config import IN_MEMORY, Config, ConfigError, wrong_value
from private_file import replace_private

log = logging.getLogger(__name__)

TOKEN_FILE = "api-token"  # noqa: S105 - a file name

MAX_GUESSES = 10
"""Wrong tokens a minute allowed to one client."""

_CHALLENGE = 'Bearer realm="sipserver"'
_PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
"""Not `is_loopback` of the address: what that says of IPv4 mapped into IPv6 depends on the version of Python."""
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return any(address in network for network in _LOOPBACK)


def cookie_name(config: Config) -> str:
    """Of the session: cookies are shared by all servers of one host name, whatever their port."""
    return f"sipserver-session-{config.api_port}"


def needs_token(config: Config) -> bool:
    """Whether others than this machine may reach the API: directly, or through a proxy under a name of its own."""
    return bool(config.api_hosts) or not is_loopback(config.api_host)


def load_or_create_token(config: Config) -> str | None:
    """The token that requests need; None where only this machine can reach the API.

    API_TOKEN if set, otherwise what stands in `DATA_DIR/api-token`, which is made (mode 0600) when it is missing. Logs
    where the token is, never the token. ConfigError when the file can't be read, used or made.
    """
    if not needs_token(config):
        return None
    if config.api_token:
        return config.api_token
    if str(config.data_dir) == IN_MEMORY:
        log.warning("nobody can use the API: it needs a token, and DATA_DIR keeps none; set API_TOKEN")
        return secrets.token_urlsafe(32)
    path = config.data_dir / TOKEN_FILE
    try:
        token = _read_token(path) or _create_token(path)
    except OSError as error:
        allowed = f"a directory where {TOKEN_FILE} can be kept ({error.strerror}), or set API_TOKEN"
        raise wrong_value("DATA_DIR", config.data_dir, allowed) from error
    log.info("the API needs the token kept in %s", path)
    return token


def _read_token(path: Path) -> str | None:
    try:
        text = path.read_bytes().decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    if not _TOKEN.fullmatch(text):
        raise ConfigError(f"{path}: holds no usable token; delete it, and the next start makes a new one")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        log.warning("others could read %s; it is now for its owner alone", path)
        path.chmod(0o600)
    return text


def _create_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    replace_private(path, f"{token}\n".encode())
    return token


class Gate:
    """Lets a request pass or raises the `Problem` that says why not; `token` None means an API open to this machine.

    Wrong tokens are counted per client; above MAX_GUESSES a minute not even the right one is looked at, or a guess
    would be as good as before.
    """

    def __init__(self, config: Config, token: str | None, sessions: SessionBook) -> None:
        if token is None and needs_token(config):
            raise ValueError("an API that other machines can reach needs a token")
        self._token_digest = None if token is None else _digest(token)
        self._names = _names(config)
        self._guesses = RateLimiter(MAX_GUESSES)
        self._sessions = sessions
        self._cookie_name = cookie_name(config)

    def check_source(self, request: Request) -> None:
        """400 without Host in HTTP/1.1 (RFC 9112 3.2), 403 for one that isn't ours and for what a foreign page sent."""
        host = request.headers.get("Host", "")
        if not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
            raise Problem(400, "The request names no host.", "A request of HTTP/1.1 must carry a Host header.")
        if self._token_digest is None:
            self._check_local(host, request)
        elif host and not self._is_ours(host):
            raise Problem(
                403,
                "This host name isn't allowed.",
                "The server answers to its IP addresses and to the names in the setting API_HOSTS, so that no web page "
                "can reach it under a name of its own. If it is right to use this name, add it there.",
            )
        _check_page(host, request)

    def check_token(self, request: Request, now: float) -> str:
        """Who the client is, `token`, `session` or `loopback`; 401 without any of them, 429 after too many wrong
        tokens."""
        if self._token_digest is None:
            return "loopback"
        client = request.remote_addr or ""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return self._check_session(request, now)
        quota = self._guesses.look(client, now)
        if not quota.allowed:
            raise Problem(
                429,
                "Too many wrong tokens.",
                f"This address has sent {MAX_GUESSES} wrong tokens within a minute. Wait {quota.reset_s} s.",
                headers={"Retry-After": str(quota.reset_s)},
            )
        if scheme.lower() == "bearer" and hmac.compare_digest(_digest(given.strip()), self._token_digest):
            return "token"
        self._guesses.take(client, now)
        log.warning("wrong API token from %s", client)
        raise _unauthorized("The token is wrong.", f'{_CHALLENGE}, error="invalid_token"')

    def _check_session(self, request: Request, now: float) -> str:
        name = request.cookies.get(self._cookie_name)
        if name is None or not self._sessions.use(name, now):
            raise _unauthorized("A token is needed.", _CHALLENGE)
        # A browser sends a cookie by itself. What it says of the page that asks has been looked at (`check_source`); a
        # change takes one that does say something.
        if request.method not in READING_METHODS and not {"Origin", "Sec-Fetch-Site"} & set(request.headers.keys()):
            raise Problem(
                403,
                "This browser doesn't say which page asks.",
                "A change must come with the header Origin, which every browser of today sends. Programs show the "
                "token instead of a session.",
            )
        return "session"

    def _check_local(self, host: str, request: Request) -> None:
        if host and _host_name(host) not in self._names:
            raise Problem(
                403,
                "This host name isn't allowed.",
                "Without a token the server answers only to localhost, 127.0.0.1 and its own address, so that no "
                "web page can reach it under a name of its own.",
            )
        if any(name in request.headers for name in _PROXY_HEADERS):
            raise Problem(
                403,
                "A proxy must not open this server to others.",
                "Without a token the server serves programs on its own machine alone, and this request was passed on "
                "by a proxy. Set API_HOSTS to the name that the proxy is reached by: then a token is needed.",
            )

    def _is_ours(self, host: str) -> bool:
        # A page that came from an IP address came from that very machine: rebinding takes a name.
        name = _host_name(host)
        return name is not None and (name in self._names or _is_ip(name))


def _check_page(host: str, request: Request) -> None:
    """403 for what a browser sends on behalf of a page of another origin (RFC 6454 7, Fetch Metadata)."""
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}
    # A request without Origin may come from a foreign page as well: an image, a script. A link to us is welcome.
    link = request.method in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Mode") == "navigate"
    embedded = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not link
    if foreign or embedded:
        raise Problem(
            403,
            "Another web page may not use this server.",
            "The request comes from a page that another server delivered. A proxy between the two must pass the "
            "Host header on unchanged.",
        )


def _unauthorized(error: str, challenge: str) -> Problem:
    return Problem(
        401,
        error,
        "Send the header Authorization: Bearer followed by the token. It is the API_TOKEN of the settings, or it "
        f"stands in the file {TOKEN_FILE} of the data directory on the server.",
        headers={"WWW-Authenticate": challenge},
    )


def _names(config: Config) -> frozenset[str]:
    """Host names (lower case) that a request may be for."""
    names = {"localhost", config.api_host.lower()}
    if not needs_token(config):
        return frozenset(names | {"127.0.0.1", "::1"})
    own = socket.gethostname().lower()
    names |= {own, f"{own}.local", config.server_address.lower(), *config.api_hosts}
    return frozenset(name.removesuffix(".") for name in names if name)


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else None


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(token: str) -> bytes:
    """Of equal length for all tokens, so that comparing takes equally long."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
