"""The store in a PostgreSQL database, which other servers may share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from config import NotYet
from store.backlog import LIMIT
from store.database_store import DEFAULT_TRACE_LIMITS, DatabaseStore
from store.interface import TraceLimits
from store.postgres import PostgresDatabase

log = logging.getLogger(__name__)

START_WAIT_S = 30.0
"""How long a start waits for the database: after a power cut both begin at once."""
_POLL_S = 0.5


class PostgresStore(DatabaseStore):
    """What servers that share their state keep it in."""

    def __init__(
        self,
        database: PostgresDatabase,
        history_days: int,
        trace_limits: TraceLimits = DEFAULT_TRACE_LIMITS,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        name = database.server
        clocks = {"clock": clock, "wall_clock": wall_clock}
        super().__init__(database, history_days, trace_limits, server=name, limit=limit, **clocks)
        self._postgres = database

    def start(self) -> None:
        """Also raises `NotYet` when the database can't be reached: nobody may be let in without the passwords."""
        self._await_database()
        super().start()

    def _await_database(self) -> None:
        database, deadline, is_said = self._postgres, time.monotonic() + START_WAIT_S, False
        while True:
            try:
                database.new_connection().close()
            except database.faults as error:
                if time.monotonic() >= deadline:
                    raise NotYet(database.explained(error)) from error
                if not is_said:
                    log.warning("%s; waiting for it", database.explained(error))
                is_said = True
                time.sleep(_POLL_S)
            else:
                return
