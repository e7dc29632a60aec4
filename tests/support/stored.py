"""Bindings, calls and media figures to be stored, and a database that fails when a test says so."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sip.snapshots import CallSnapshot, CallState, MediaFigures, StoredBinding, TerminationReason
from store.backlog import apply
from store.bindings import PutBinding, live_bindings
from store.database import connect
from store.medium import Medium

DAY_S = 86_400.0
NOON_AT = 1_785_326_400.0
"""29 July 2026, 12:00 UTC."""

BINDING = StoredBinding(
    binding_id="b-1",
    number="100",
    contact="sip:100@192.168.1.10:5060;transport=udp",
    parameters=';+sip.instance="<urn:uuid:1>";reg-id=1',
    instance="<urn:uuid:1>;1",
    call_id="abc@192.168.1.10",
    cseq=7,
    transport="UDP",
    local_host="192.168.1.2",
    local_port=5060,
    remote_host="192.168.1.10",
    remote_port=5062,
    connection=0,
    expires_at=NOON_AT + 3600.0,
    q=0.5,
    user_agent="Phone 1.0",
    behind_nat=True,
    registered_at=NOON_AT - 60.0,
    last_seen_at=NOON_AT,
    password_mark="0123456789abcdef",
)

LIVE_CALL = CallSnapshot(
    call_id="call-1",
    from_number="100",
    to_number="101",
    state=CallState.INITIATED,
    invited_at=NOON_AT,
    ringing_at=None,
    answered_at=None,
    ended_at=None,
    from_address="192.168.1.10:5062",
    to_address="",
    status=0,
    termination_reason=None,
    reason_text="",
    ended_by="",
)

MEDIA = MediaFigures(
    call_id="call-1",
    kind="audio",
    side=0,
    from_address="192.168.1.10",
    from_port=4000,
    to_address="192.168.1.11",
    to_port=4002,
    relay_port=10_000,
    packets=3000,
    bytes=516_000,
    lost=3,
    out_of_order=1,
    duplicates=2,
    rejected=4,
    dropped=5,
    jitter_ms=1.25,
    codec="PCMU/8000",
    mos=4.3,
    first_packet_at=NOON_AT + 5.0,
    last_packet_at=NOON_AT + 65.0,
)


def ended_call(name: str, ended_at: float, *, answered: bool = True, **changes: Any) -> CallSnapshot:
    """A call of one minute that ended in good order, or one to a busy phone."""
    call = LIVE_CALL._replace(
        call_id=name,
        state=CallState.TERMINATED,
        invited_at=ended_at - 70.0,
        answered_at=ended_at - 60.0 if answered else None,
        ended_at=ended_at,
        status=200 if answered else 486,
        termination_reason=TerminationReason.NORMAL if answered else TerminationReason.BUSY,
        reason_text="100 hung up" if answered else "101 is busy",
        ended_by="caller" if answered else "callee",
    )
    return call._replace(**changes)


@dataclass
class Clock:
    """Both clocks of a store; they move when a test says so."""

    now: float = 1_000.0
    now_at: float = NOON_AT

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now_at

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.now_at += seconds


@dataclass
class Disk:
    """Makes connections that obey `statements`, pragmas that bring a fault about, until they are cleared."""

    statements: list[str] = field(default_factory=list)
    made: int = 0

    def connect(self, path: str) -> sqlite3.Connection:
        connection = connect(path)
        self.made += 1
        for statement in self.statements:
            connection.execute(statement)
        return connection


def put(database: Medium) -> None:
    """Have it hold `BINDING`."""
    with database.writing() as connection:
        apply(connection, PutBinding(BINDING, 1))


def kept(database: Medium) -> int:
    """How many bindings it holds."""
    with database.reading() as connection:
        return len(live_bindings(connection, NOON_AT))


def rows(path: Path, sql: str, *values: object) -> list[Any]:
    """What a stranger reads from the file."""
    connection = connect(str(path))
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()
