"""The HTTP API as strangers and foreign web pages meet it.  One thread, that of the command."""

from __future__ import annotations

from collections.abc import Iterator

from api.access import is_loopback, needs_token
from commands.selftest.api_view import ApiView, accepts_connections
from commands.selftest.scene import Scene, is_public
from commands.selftest.verdict import Finding, Level
from sip.addresses import is_wildcard

_FOREIGN = "selftest.invalid"
"""A name that nobody has (RFC 2606 2)."""

_MIN_TOKEN = 20
_MIN_SIGNS = 8
"""Different characters in a token; a random one of that length has more."""


def check(scene: Scene) -> Iterator[Finding]:
    api, config = scene.api, scene.config
    yield _reach(scene)
    if not api.is_findable or api.ask("GET", "/healthz") is None:
        why = (
            f"Nothing answers at {api.url}."
            if api.is_findable
            else "The settings name no port of it that can be reached from here."
        )
        yield Finding("api-access", Level.SKIPPED, "The API could not be asked", why)
        return
    yield _foreign_pages(api)
    if needs_token(config):
        yield _token(api)
    if config.app_env == "development":
        yield Finding(
            "api-admin",
            Level.WARNING,
            "The API may hang up all calls",
            "APP_ENV=development opens routes that end all calls and registrations at once.",
            "Remove APP_ENV from the settings, unless you develop.",
        )


def _reach(scene: Scene) -> Finding:
    """Who gets as far as the API."""
    config, host = scene.config, scene.server.host
    if is_loopback(config.api_host):
        if not is_loopback(host) and config.api_port and accepts_connections(host, config.api_port):
            return Finding(
                "api-reach",
                Level.WARNING,
                "Something answers at the API's port from outside",
                f"API_HOST is {config.api_host}, but {host} accepts connections on port {config.api_port} too: another "
                "program, or a proxy that opens the API to others.",
                f"Close TCP port {config.api_port} in the firewall, or use a proxy with API_HOSTS, so that a token is "
                "asked for.",
            )
        return Finding(
            "api-reach",
            Level.OK,
            "Only this machine reaches the API",
            f"It listens on {config.api_host}."
            + (" Through a proxy it asks for a token (API_HOSTS)." if config.api_hosts else ""),
        )
    if config.api_tls:
        return Finding(
            "api-reach",
            Level.OK,
            "The API is open to other machines, encrypted and with a token",
            f"It listens on {config.api_host} and speaks HTTPS only.",
        )
    return Finding(
        "api-reach",
        Level.DANGER if scene.is_public or is_public(config.api_host) else Level.WARNING,
        "Other machines reach the API without encryption",
        f"It listens on {config.api_host} without TLS: who can listen on the way reads the token, and can then change "
        "passwords and end calls.",
        "Remove API_HOST from the settings, or run python sipserver.py cert and set API_TLS=true. "
        + ("Firewall its port in any case." if is_wildcard(config.api_host) else ""),
    )


def _foreign_pages(api: ApiView) -> Finding:
    """DNS rebinding, and a page that posts a form.  The body would change nothing even if it were let in."""
    host = f"{_FOREIGN}:{api.port}"
    asked = {
        f"under the name {_FOREIGN}": api.ask("GET", "/api/users", {"Host": host}),
        f"by a page of {_FOREIGN}": api.ask(
            "POST", "/api/bans", {"Origin": f"http://{_FOREIGN}", "Content-Type": "application/json"}, b"{}"
        ),
    }
    let_in = [how for how, answer in asked.items() if answer is None or answer.status != 403]
    if let_in:
        return Finding(
            "api-foreign-pages",
            Level.DANGER,
            "Foreign web pages can use the API",
            f"A request {' and one '.join(let_in)} was not refused. A page that you happen to visit could read your "
            "calls, or change passwords.",
            "See what stands between you and the API: a proxy that rewrites Host or Origin opens it to everybody.",
        )
    return Finding(
        "api-foreign-pages",
        Level.OK,
        "Foreign web pages can't use the API",
        "A request under a foreign name, and one by a page of another site, were refused (403).",
    )


def _token(api: ApiView) -> Finding:
    answer = api.ask("GET", "/api/users")
    if answer is None or answer.status != 401:
        return Finding(
            "api-token",
            Level.DANGER,
            "The API can be used without its token",
            f"GET /api/users without a token got {answer.status if answer else 'nothing'} instead of 401.",
            "Restart the server, so that it runs with today's settings.",
        )
    token = api.token
    if not token:
        return Finding(
            "api-token",
            Level.SKIPPED,
            "The API asks for a token, which could not be judged",
            "It stands neither in API_TOKEN nor in a file that can be read here.",
        )
    if len(token) < _MIN_TOKEN or len(set(token)) < _MIN_SIGNS:
        return Finding(
            "api-token",
            Level.DANGER,
            "The API's token is easy to guess",
            f"It has {len(token)} characters, {len(set(token))} different ones; who guesses it can change passwords.",
            "Remove API_TOKEN from the settings: the server makes a good token and keeps it in DATA_DIR/api-token.",
        )
    return Finding(
        "api-token", Level.OK, "The API asks for a token that can't be guessed", f"It has {len(token)} characters."
    )
