"""Look the server over: addresses, ports, NAT, clock, disk, passwords, API, phones.

It asks the server that runs, by its API; where none runs, it looks at the settings and the machine.  What strangers
find out and can do is what `selftest --security` tries.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from api.explanation_views import diagnosis_view
from commands.selftest.api_view import ApiView
from commands.selftest.scene import find
from commands.selftest.verdict import block
from config import Config, ConfigError
from explain.doctor.diagnosis import diagnose
from explain.words import LANGUAGES, chosen_language
from sip.addresses import family_of
from sip.credentials import Credentials
from sip.password_store import PasswordStore
from startup import reachable_address
from store import open_passwords
from surroundings import PasswordJudge, examine

NAME = "doctor"

EXIT_STATUS = {"ok": 0, "warning": 1, "problem": 2}
"""By the verdict."""
EXIT_NO_ANSWER = 3
"""A server runs, but its API can't be asked."""

_WORDS = {
    "en": {
        "remedy": "What to do",
        "ok": "Nothing is wrong.",
        "warning": "Some things deserve attention.",
        "problem": "Something keeps phones from calling, or the server open to others.",
    },
    "ru": {
        "remedy": "Что делать",
        "ok": "Всё в порядке.",
        "warning": "Кое-что требует внимания.",
        "problem": "Что-то мешает телефонам звонить или открывает сервер посторонним.",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="", metavar="ADDRESS", help="where the server is, if the settings don't say")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--lang", choices=LANGUAGES, default="", help="the language of what is said")


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Exit status: that of the verdict (0 nothing is wrong, 1 warnings, 2 problems), 3 when a server runs whose API
    can't be asked."""
    language = arguments.lang or chosen_language(os.environ.get("LANG", "").partition(".")[0].replace("_", "-"))
    host = arguments.host or reachable_address(config)
    diagnosis = ApiView(config, host).get(f"/api/doctor?lang={language}")
    if diagnosis is None:
        if _answers(config, host):
            print(f"sipserver: {_no_api(config)}", file=sys.stderr)
            return EXIT_NO_ANSWER
        diagnosis = _alone(config, language)
    print(json.dumps(diagnosis, indent=1) if arguments.json else _text(diagnosis, language))
    return EXIT_STATUS[diagnosis["verdict"]]


def _answers(config: Config, host: str) -> bool:
    """A SIP server runs there, or something answers at the API."""
    if ApiView(config, host).ask("GET", "/healthz") is not None:
        return True
    return bool(config.sip_port) and find(config, host) is not None


def _no_api(config: Config) -> str:
    return (
        f"a server runs, but its API (API_HOST={config.api_host}, API_PORT={config.api_port}) does not tell this "
        "command what it needs. Run it with the settings of the server, as a user that may read its token"
    )


def _alone(config: Config, language: str) -> dict[str, Any]:
    """What can be said without a server."""
    facts = examine(config, _credentials(config), PasswordJudge(), time.time(), ports_taken=tuple(_ports_taken(config)))
    return diagnosis_view(diagnose(facts), facts.now_at, language)


def _credentials(config: Config) -> Credentials | None:
    try:
        with open_passwords(config) as keeper:
            return PasswordStore(config, keeper).load()
    except ConfigError:
        return None


def _ports_taken(config: Config) -> Iterator[str]:
    """Ports of the settings that can't be had, as people write them."""
    for name, host, port, kinds in (
        ("SIP_PORT", config.sip_host, config.sip_port, (socket.SOCK_DGRAM, socket.SOCK_STREAM)),
        ("API_PORT", config.api_host, config.api_port, (socket.SOCK_STREAM,)),
    ):
        if port and not all(_is_free(host, port, kind) for kind in kinds):
            yield f"{name}={port}"


def _is_free(host: str, port: int, kind: int) -> bool:
    with socket.socket(family_of(host), kind) as sock:
        if kind == socket.SOCK_STREAM:
            # As servers do: connections of an earlier run that still fade away are no hindrance.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError:
            return False
    return True


def _text(diagnosis: dict[str, Any], language: str) -> str:
    words = _WORDS[language]
    blocks = [
        block(each["severity"], _capital(each["cause"]), each["sentence"], f"{words['remedy']}: {each['remedy']}")
        for each in diagnosis["findings"]
    ]
    return "\n".join([*blocks, "", words[diagnosis["verdict"]]])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
