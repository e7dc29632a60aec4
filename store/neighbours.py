"""The thread `store-neighbours`: tells the other servers on the database that this one lives, and hears what they do.

It has a connection of its own, on which PostgreSQL tells what other servers have changed (LISTEN, NOTIFY), in the order
in which it was committed, as soon as it is.  What a fault of that connection made it miss it reads when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

from lasting_thread import LastingThread
from sip.snapshots import StoredBinding
from store import calls, servers
from store.bindings import all_live_bindings, find_bindings, number_records
from store.interface import Neighbourhood
from store.postgres import CHANNEL, DEAD_AFTER_S, PostgresConnection, PostgresDatabase, tell_anew

log = logging.getLogger(__name__)

BEAT_S = 1.0
MISSED_FOR_S = 24 * 3600.0
"""How long a server that died is a problem; then somebody has done without it."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_STOP_TIMEOUT_S = 5.0


class Neighbours:
    """Invariant: `_alive` are the servers that `_told` was last told of, and `_closed` those whose calls were closed
    since they were last seen alive."""

    def __init__(
        self,
        database: PostgresDatabase,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._wall_clock = wall_clock
        self._neighbourhood: Neighbourhood | None = None
        self._port = 0
        self._key = b""
        self._alive: frozenset[str] = frozenset()
        self._closed: set[str] = set()
        self._missed: tuple[str, ...] = ()
        self._patient_until = 0.0
        self._trouble = ""
        self._stopping = False
        self._wake_up, self._woken = socket.socketpair()
        self._thread: LastingThread | None = None

    def start(self, neighbourhood: Neighbourhood, port: int) -> None:
        """`port` is where this server is reached for SIP over UDP."""
        self._neighbourhood, self._port = neighbourhood, port
        self._thread = LastingThread("store-neighbours", self._run, lambda: self._stopping)
        self._thread.start()

    def stop(self) -> None:
        """The others learn that this server goes.  Idempotent."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0")
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._thread = None
        self._wake_up.close()
        self._woken.close()

    def problems(self) -> tuple[str, ...]:
        if self._trouble:
            return (f"phones of other servers may be unknown here: {self._trouble}",)
        missed = (f"the server {name} gives no sign of life: its phones can't be called" for name in self._missed)
        return (*missed, *(self._thread.problems() if self._thread is not None else ()))

    # -------------------------------------------------------------------------------------------- store-neighbours

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping:
            try:
                with contextlib.closing(self._database.new_connection()) as connection:
                    self._take_part(connection)
                pause_s = _FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - the thread outlives whatever happens in it
                self._note(error)
                self._patient_until = self._clock() + DEAD_AFTER_S
                self._wait_for(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def _take_part(self, connection: PostgresConnection) -> None:
        """Until the connection fails or the server stops."""
        assert self._neighbourhood is not None
        host = self._neighbourhood.peer_address(connection.raw.info.hostaddr)
        connection.execute(f"LISTEN {CHANNEL}")
        self._key = servers.shared_key(connection)
        self._beat(connection, host)
        tell_anew(connection, self._database.server)
        present = all_live_bindings(connection, self._wall_clock())
        records = list(number_records(connection).values())
        self._neighbourhood.reconcile_bindings([self._seen_from_here(each) for each in present], records)
        if self._trouble:
            log.warning("what other servers do is known again")
            self._trouble = ""
        beat_due = self._clock() + BEAT_S
        while not self._stopping:
            self._wait_for(max(0.0, beat_due - self._clock()), connection)
            if self._hear(connection) or self._clock() >= beat_due:
                self._beat(connection, host)
                beat_due = self._clock() + BEAT_S
        servers.leave(connection, self._database.server)
        tell_anew(connection, self._database.server)

    def _wait_for(self, seconds: float, connection: PostgresConnection | None = None) -> None:
        """Until something is heard, or the server stops, or the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            if connection is not None:
                selector.register(connection.raw.fileno(), selectors.EVENT_READ)
            selector.select(seconds)

    # -------------------------------------------------------------------------------------------- who lives

    def _beat(self, connection: PostgresConnection, host: str) -> None:
        assert self._neighbourhood is not None
        me = self._database.server
        servers.beat(connection, me, host, self._port)
        self._database.note_revisions(servers.revisions(connection))
        standing = servers.standing(connection, me, DEAD_AFTER_S)
        if self._clock() < self._patient_until and self._alive - standing.alive.keys():
            # After a time without the database nobody's sign of life is fresh.
            return
        self._neighbourhood.set_neighbours(me, self._key, standing.now_at - self._wall_clock(), standing.alive)
        alive = frozenset(standing.alive)
        for name in sorted(alive - self._alive):
            log.info("the server %s is in service at %s", name, standing.alive[name][0])
        for name in sorted(self._alive - alive):
            log.warning("the server %s is out of service; its phones are not called until they come back", name)
        self._alive = alive
        self._closed -= alive
        self._missed = tuple(name for name, age_s in standing.dead.items() if age_s < MISSED_FOR_S)
        for name in sorted(standing.dead.keys() - self._closed):
            self._close_calls(connection, name)
            self._closed.add(name)

    def _close_calls(self, connection: PostgresConnection, name: str) -> None:
        """A server is dead: its calls were cut off, and nobody else may be there to say so."""
        with connection.raw.transaction():
            ended = calls.close_interrupted(connection, name)
        if ended:
            log.warning("%d calls were cut off when the server %s stopped without warning", ended, name)

    # -------------------------------------------------------------------------------------------- what they do

    def _hear(self, connection: PostgresConnection) -> bool:
        """Whether there is something to look at: a server has come or gone, a password or a ban has changed."""
        told = [each.payload.split() for each in connection.raw.notifies(timeout=0)]
        others = [words for words in told if words and words[0] != self._database.server]
        self._follow(connection, list(dict.fromkeys(chain.from_iterable(words[1:] for words in others))))
        return any(len(words) == 1 for words in others)

    def _follow(self, connection: PostgresConnection, ids: Sequence[str]) -> None:
        if not ids:
            return
        assert self._neighbourhood is not None
        found = find_bindings(connection, ids)
        records = number_records(connection, sorted({each.number for each in found})) if found else {}
        gone = set(ids) - {each.binding_id for each in found}
        changed = [self._seen_from_here(each) for each in found]
        self._neighbourhood.follow_bindings(changed, sorted(gone), list(records.values()))

    def _seen_from_here(self, binding: StoredBinding) -> StoredBinding:
        return replace(binding, server="") if binding.server == self._database.server else binding

    def _note(self, error: Exception) -> None:
        """Logged once for each kind of fault, not once for each attempt."""
        trouble = self._database.clause(error)
        if trouble != self._trouble:
            log.error("what other servers do is unknown for now: %s", trouble, exc_info=error)
        self._trouble = trouble
