"""What the doctor knows of a server, as its rules look at it.  Pure.

A server that runs is known whole; of one that does not, only its settings and its machine (`Running` is None).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config import Config
from sip.snapshots import BanSnapshot, ContactSnapshot, PresenceSnapshot, RegistrationFailure
from sip.trace import CallTrace


@dataclass(frozen=True, slots=True)
class Advertised:
    """The address of this server that a peer is told.  `peer` is an address, "" stands for all others."""

    peer: str
    address: str


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that a directory of the server lies on; bytes."""

    path: str
    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs.  `presences` are of all numbers that are registered or have been since its start; `problems`
    is what it says of itself (`/healthz`). `calls` are traces of the last ones. `clock_set`: when the clock of this
    machine was set while it ran (wall clock), and by how many seconds."""

    sip_port: int
    tls_port: int
    api_port: int
    started_at: float
    presences: Sequence[PresenceSnapshot] = ()
    failures: Sequence[RegistrationFailure] = ()
    bans: Sequence[BanSnapshot] = ()
    rate_limited: Mapping[str, float] | None = None
    problems: Sequence[str] = ()
    calls: Sequence[CallTrace] = ()
    clock_set: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """`advertised` is what peers are told, those of registered phones first. `weak_numbers` have a password that is
    easily guessed, `protected` is how many have any; None where the passwords can't be read. `program_at` is the time
    of the newest file of the program: no clock that is right says less. `ports_taken` are ports of the settings that
    another program has. `now_at` is wall clock."""

    config: Config
    now_at: float
    program_at: float
    advertised: Sequence[Advertised] = ()
    disks: Sequence[Disk] = ()
    weak_numbers: Sequence[str] = ()
    protected: int | None = 0
    call_capacity: int = 0
    ports_taken: Sequence[str] = ()
    running: Running | None = None

    @property
    def contacts(self) -> list[tuple[str, ContactSnapshot]]:
        """Every registered device with its number."""
        if self.running is None:
            return []
        return [(each.number, contact) for each in self.running.presences for contact in each.contacts]


def listed(words: Sequence[str], most: int = 8) -> str:
    """Numbers or addresses for a sentence, the first few of many."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" (+{more})" if more > 0 else "")
