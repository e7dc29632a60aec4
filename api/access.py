"""Who may use the API: a check of Host and Origin, and a token wherever others than this machine can reach it.

On a loopback address the API is open, but a web page that the administrator happens to visit must not drive it: such
a page betrays itself by its Origin (RFC 6454 7), or, after DNS rebinding, by a Host that isn't this machine's. On any
other address every request needs the token as `Authorization: Bearer` (RFC 6750 2.1), which no foreign page knows.

`Gate` is immutable and used by all waitress workers; `load_or_create_token` runs in the main thread before they start.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
from pathlib import Path

from werkzeug.wrappers import Request

from api.errors import Problem
from config import Config, ConfigError, wrong_value

log = logging.getLogger(__name__)

TOKEN_FILE = "api-token"  # noqa: S105 - a file name
IN_MEMORY = ":memory:"
"""DATA_DIR of a server that keeps nothing."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def load_or_create_token(config: Config) -> str | None:
    """The token that requests need; None where the API is open because it listens on a loopback address.

    API_TOKEN if set, otherwise what stands in `DATA_DIR/api-token`, which is made (mode 0600) when it is missing. Logs
    where the token is, never the token. ConfigError when the file can't be read, used or made.
    """
    if is_loopback(config.api_host):
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
    """Write a new token so that nobody ever sees half of it, nor may read it for a moment."""
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
    return token


class Gate:
    """Lets a request pass or raises the `Problem` that says why not; `token` None means an open API on loopback."""

    def __init__(self, api_host: str, token: str | None) -> None:
        if token is None and not is_loopback(api_host):
            raise ValueError("an API that other machines can reach needs a token")
        self._token = None if token is None else token.encode()
        self._hosts = frozenset({"localhost", "127.0.0.1", "::1", api_host.lower()})

    def check_source(self, request: Request) -> None:
        """400 without Host in HTTP/1.1 (RFC 9112 3.2), 403 for one that isn't ours or for a foreign Origin."""
        host = request.headers.get("Host", "")
        if not host and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
            raise Problem(400, "The request names no host.", "A request of HTTP/1.1 must carry a Host header.")
        if host and self._token is None and _host_name(host) not in self._hosts:
            raise Problem(
                403,
                "This host name isn't allowed.",
                "Without a token the server answers only to localhost, 127.0.0.1 and its own address, so that no "
                "web page can reach it under a name of its own.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in {f"http://{host.lower()}", f"https://{host.lower()}"}:
            raise Problem(
                403,
                "Another web page may not use this server.",
                "The request comes from a page that another server delivered. A proxy between the two must pass the "
                "Host header on unchanged.",
            )

    def check_token(self, request: Request) -> None:
        """401 unless the request carries the token; compared in constant time."""
        if self._token is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return
        challenge = 'Bearer realm="sipserver"'
        if scheme:
            log.warning("wrong API token from %s", request.remote_addr)
            challenge += ', error="invalid_token"'
        raise Problem(
            401,
            "A token is needed." if not scheme else "The token is wrong.",
            "Send the header Authorization: Bearer followed by the token. It is the API_TOKEN of the settings, or it "
            f"stands in the file {TOKEN_FILE} of the data directory on the server.",
            headers={"WWW-Authenticate": challenge},
        )


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else None
