"""The subcommands of `sipserver.py`.  Each stands in a module of its own; they run in the main thread, without a server
in their process."""

from __future__ import annotations

import argparse
from typing import Protocol

from commands import backup, cert, doctor, passwd, restore, selftest
from config import Config


class Command(Protocol):
    """What such a module has.  The first line of its docstring is its line in the help."""

    NAME: str
    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Describe its command line."""

    def run(self, arguments: argparse.Namespace, config: Config) -> int:
        """Do it; the exit status.  May raise `ConfigError`, which is shown as one line."""


COMMANDS: tuple[Command, ...] = (backup, cert, doctor, passwd, restore, selftest)
