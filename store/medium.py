"""What the store asks of a database: its connections, its faults, its whereabouts.

`store.database.Database` is one SQLite file, `store.postgres.PostgresDatabase` a PostgreSQL server.  All that is not
said here is the same for both, and is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from store.sql import Connection


class Medium(Protocol):
    """Opened, left and written by one thread at a time; read by any."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What its connections raise, and what opening it raises besides `ConfigError`."""

    @property
    def is_open(self) -> bool: ...

    def open(self, now_at: float) -> None:
        """Connect, and bring the tables up to date.  Raises `ConfigError` for what only a person can put right; after
        any other fault trying again later may succeed."""

    def leave(self) -> None:
        """Close the connections there are, so that `open` begins anew with whatever is there."""

    def close(self) -> None:
        """Idempotent.  What readers hold is closed when they are through."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction, committed at the end, undone by an exception."""

    def syncing(self) -> AbstractContextManager[Connection]:
        """Like `writing`; with the end of it, this and everything before outlives a power cut."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection of one's own, which sees the same state from the first statement to the end."""

    def keep_watch(self) -> None:
        """With each sign of life: leave what is no longer the database."""

    def examine(self) -> None:
        """A reader met something that makes no sense; raises what `is_damage` when it makes none at all."""

    def announce(self, connection: Connection, keys: Sequence[tuple[object, ...]]) -> None:
        """At the end of a transaction: tell the other servers on the same database what has changed in it."""

    def after_fault(self, error: BaseException, now_at: float) -> None:
        """Do away with what a fault has spoilt.  Raises `OSError`."""

    def problems(self) -> tuple[str, ...]:
        """What people should know of it though it works."""

    def clause(self, error: BaseException) -> str:
        """What is wrong, as a clause without capital and full stop that names no phone and no file."""

    def is_damage(self, error: BaseException) -> bool:
        """What is kept makes no sense: trying again is of no use."""

    def is_passing(self, error: BaseException) -> bool:
        """The fault of the machine, not of what was to be written: the same work may succeed later."""
