"""The words behind `python sipserver.py`.

Loaded only when there are any: what reads arguments, and the commands, make the start slower and the server larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from commands import COMMANDS


def parse_arguments(words: Sequence[str], version: str) -> argparse.Namespace:
    """`run_command` is what runs the command that is named, None where none is."""
    parser = argparse.ArgumentParser(
        prog="sipserver.py",
        description="A telephone exchange for a small office: phones register, call one another, and talk.",
        epilog="Settings come from environment variables and from .env; env.example lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"sipserver {version}")
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the ports, say what would be used, and end"
    )
    parser.set_defaults(run_command=None)
    _add_commands(parser)
    return parser.parse_args(words)


def _add_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="command", description="Without one, the server runs.")
    for command in COMMANDS:
        summary = (command.__doc__ or "").partition("\n")[0]
        subparser = commands.add_parser(command.NAME, help=summary, description=summary)
        command.add_arguments(subparser)
        subparser.set_defaults(run_command=command.run)
