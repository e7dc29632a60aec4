"""SIGHUP: the settings are read and checked again; what can change while the server runs is put in force.

Which settings those are stands in `config.py` (`Setting.live`).  For the main thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from config import SETTINGS, Config, ConfigError, dotenv_warnings, load

log = logging.getLogger(__name__)


class Configurable(Protocol):
    """The running server."""

    config: Config

    def configure(self, config: Config) -> int:
        """Put in force what can change; how many registrations that ended.  Raises `ConfigError`: nothing changed."""


class Difference(NamedTuple):
    """`config` is what can be in force from now on; `live` and `later` are the names of what differs: what can change
    while the server runs, and what waits for a restart."""

    config: Config
    live: tuple[str, ...]
    later: tuple[str, ...]


def difference(running: Config, wanted: Config) -> Difference:
    """Raises `ConfigError` where what can change contradicts what can't."""
    changed = [each for each in SETTINGS if _value(running, each.name) != _value(wanted, each.name)]
    live = tuple(each.name for each in changed if each.live)
    later = tuple(each.name for each in changed if not each.live)
    return Difference(replace(running, **{name.lower(): _value(wanted, name) for name in live}), live, later)


def reload(server: Configurable, set_log_level: Callable[[str], None]) -> None:
    """Never raises: a setting that can't be used leaves everything as it was, and one line of the log says so."""
    try:
        found = difference(server.config, load())
        ended = server.configure(found.config)
        warnings = dotenv_warnings()
    except ConfigError as error:
        log.error("the settings stay as they were: %s", error)  # noqa: TRY400 - one line says it all
        return
    if "LOG_LEVEL" in found.live:
        set_log_level(found.config.log_level)
    for warning in warnings:
        log.warning("%s", warning)
    log.info("settings were read again; changed and in force: %s", ", ".join(found.live) or "none")
    if ended:
        log.info("%d registrations ended that the new settings would not let in", ended)
    if found.later:
        log.warning("changed, but in force only after a restart: %s", ", ".join(found.later))


def _value(config: Config, name: str) -> Any:
    return getattr(config, name.lower())
