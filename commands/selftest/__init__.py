"""Look at the running server from outside, and say what is safe and what is not.

The parts: `scene` finds the server and the addresses to look from, `strangers`, `streams`, `exposure`, `media` and
`certificate` ask it over the network, `passwords` and `settings` judge what stands in the files, `verdict` is what
comes out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from commands.selftest import certificate, exposure, media, passwords, settings, strangers, streams
from commands.selftest.scene import Scene, find
from commands.selftest.verdict import Finding, Level, Report
from config import Config, ConfigError

NAME = "selftest"

EXIT_DANGER = 1
EXIT_NO_SERVER = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--security", action="store_true", required=True, help="check what strangers can find out, do and overhear"
    )
    parser.add_argument("--host", default="", metavar="ADDRESS", help="where the server is, if the settings don't say")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Exit status: 0, 1 when a danger was found, 2 when no server answers.  Raises `ConfigError`."""
    scene = find(config, arguments.host)
    if scene is None:
        return _no_server(config, arguments)
    report = Report(str(scene.server), scene.views, tuple(findings(scene)))
    print(json.dumps(report.to_json(), indent=1) if arguments.json else report.to_text())
    return EXIT_DANGER if report.level is Level.DANGER else 0


def findings(scene: Scene) -> Iterator[Finding]:
    """All checks, what strangers meet first."""
    # Before the passwords are read, which makes their file private again.
    files = settings.check_files(scene.config)
    try:
        found = passwords.read(scene.config)
    except ConfigError as error:
        yield from strangers.check(scene, frozenset())
        yield passwords.unreadable(error)
        known = {}
    else:
        yield from strangers.check(scene, found.protected)
        yield from passwords.check(scene.config, found)
        known = dict(found.known)
    yield from settings.check(scene)
    yield files
    yield streams.check(scene)
    yield from exposure.check(scene)
    yield from media.check(scene, known)
    yield certificate.check(scene)


def _no_server(config: Config, arguments: argparse.Namespace) -> int:
    where = f"{arguments.host or 'this machine'}, UDP port {config.sip_port}"
    text = (
        f"no SIP server answers at {where}. Start it first, with the same settings; or say where it is by --host; "
        "or let its firewall take this machine in"
    )
    if arguments.json:
        print(json.dumps({"verdict": "unreachable", "server": where, "views": [], "checks": [], "error": text}))
    print(f"sipserver: {text}", file=sys.stderr)
    return EXIT_NO_SERVER
