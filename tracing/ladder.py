"""The course of a call as a ladder diagram: participants side by side, what went between them from top to bottom.
Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sip.trace import CallTrace, Endpoint
from tracing.messages import TracedMessage, read_messages
from tracing.parties import TracedParty, address_text, numbers_by_address, parties

SERVER = "server"


@dataclass(frozen=True, slots=True)
class Participant:
    """A phone at one address, or the server.  `role` is "caller", "server", "callee" or, for an address that no INVITE
    came from or went to, "other"; `name` is the number, or the numbers where several share the address."""

    id: str
    role: str
    name: str
    address: str
    transport: str


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow or note.  `index` is the place of the entry in the trace, `kind` "message", "decision" or "media".

    Of a message: `source` and `target` are ids of participants, `label` is the method, or status and phrase, with a
    word for a session description; `cseq` is number and method of the transaction.  `is_repeated`: it was sent before.
    Of a note: `label` is the sentence and `fact` what kind it is.  `offset_s` counts from the INVITE of the call.
    """

    index: int
    at: float
    offset_s: float
    kind: str
    label: str
    source: str = ""
    target: str = ""
    method: str = ""
    status: int = 0
    cseq: str = ""
    is_repeated: bool = False
    size: int = 0
    fact: str = ""

    @property
    def is_response(self) -> bool:
        return self.status > 0

    @property
    def long_label(self) -> str:
        """With the transaction it belongs to: the number of a request, number and method of a response."""
        extra = self.cseq if self.is_response else self.cseq.partition(" ")[0]
        extras = [text for text in (extra, "again" if self.is_repeated else "") if text]
        return f"{self.label} [{', '.join(extras)}]" if extras else self.label


@dataclass(frozen=True, slots=True)
class Ladder:
    """`dropped` entries between the first and the last ones were not kept."""

    trace: CallTrace
    participants: tuple[Participant, ...]
    steps: tuple[Step, ...]
    dropped: int


def ladder(trace: CallTrace) -> Ladder:
    messages = {message.index: message for message in read_messages(trace.entries)}
    ids, participants = _participants(trace, list(messages.values()))
    steps = []
    for index, entry in enumerate(trace.entries):
        offset_s = entry.at - trace.call.invited_at
        if index in messages:
            steps.append(_arrow(messages[index], offset_s, ids[messages[index].remote]))
        else:
            label = " ".join(entry.text.split())
            steps.append(Step(index, entry.at, offset_s, entry.kind.value, label, fact=entry.fact))
    return Ladder(trace, participants, tuple(steps), trace.dropped)


def _arrow(message: TracedMessage, offset_s: float, phone: str) -> Step:
    source, target = (phone, SERVER) if message.is_received else (SERVER, phone)
    return Step(
        message.index,
        message.entry.at,
        offset_s,
        "message",
        message.summary,
        source,
        target,
        message.method,
        message.status,
        message.cseq,
        message.is_repeated,
        message.entry.size,
    )


def _participants(
    trace: CallTrace, messages: list[TracedMessage]
) -> tuple[dict[Endpoint, str], tuple[Participant, ...]]:
    """The id of each address, and the caller, the server, the phones that were called, the others."""
    known = parties(trace)
    numbers = numbers_by_address(known)
    by_address = {party.address: party for party in reversed(known)}
    made: dict[Endpoint, Participant] = {}
    for message in messages:
        if message.remote not in made:
            address = address_text(message.remote)
            names = numbers.get(address) or _numbers_at_host(known, message.remote[0])
            party = by_address.get(address)
            role = party.role if party is not None else "other"
            transport = message.entry.transport
            made[message.remote] = Participant(
                f"phone{len(made) + 1}", role, ", ".join(names) or "unknown", address, transport
            )
    callers = [each for each in made.values() if each.role == "caller"]
    others = [each for role in ("callee", "other") for each in made.values() if each.role == role]
    server = Participant(SERVER, SERVER, "server", "", "")
    return {remote: each.id for remote, each in made.items()}, (*callers, server, *others)


def _numbers_at_host(known: tuple[TracedParty, ...], host: str) -> list[str]:
    """A phone that has changed its port, by a new connection or behind NAT, is still the same phone."""
    at_host = [party for party in known if party.address.rpartition(":")[0].strip("[]") == host]
    return [name for names in numbers_by_address(at_host).values() for name in names]
