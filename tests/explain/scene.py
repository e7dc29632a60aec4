"""Calls on the bench of `tests/support/harness.py`, explained: what rules say of them, by key and confidence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from explain.calls.explanation import Explanation, explain_call
from explain.words import LANGUAGES, said
from sip.facts import Fact
from sip.journal import EntryKind
from sip.snapshots import BanSnapshot, MediaFigures
from sip.timers import TimerSettings
from sip.trace import CallTrace, QualitySample, StreamQuality, TraceEntry, record_of
from tests.support.bench_phone import FakePhone
from tests.support.harness import CoreHarness
from tests.support.rtp import session_description

OFFER = session_description("192.0.2.10", 20_000)
CALLER_PORT, CALLEE_PORT = 10_000, 10_002


def sdp(
    protocol: str = "RTP/AVP", codecs: str = "0 PCMU, 8 PCMA", host: str = "192.0.2.10", port: int = 20_000
) -> bytes:
    """One stream of sound; `codecs` are payload types with their names."""
    pairs = [each.split() for each in codecs.split(", ")]
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines.append(f"m=audio {port} {protocol} {' '.join(number for number, _ in pairs)}")
    lines += [f"a=rtpmap:{number} {name}/8000" for number, name in pairs]
    return "\r\n".join(lines).encode() + b"\r\n"


def sound(side: int, **figures: Any) -> MediaFigures:
    """One direction that is heard well, unless told otherwise."""
    usual = {"packets": 500, "bytes": 86_000, "lost": 0, "rejected": 0, "jitter_ms": 2.0, "mos": 4.4}
    return MediaFigures(
        **{
            "call_id": "",
            "kind": "audio",
            "side": side,
            "from_address": "192.0.2.10",
            "from_port": 20_000,
            "to_address": "192.0.2.11",
            "to_port": 20_000,
            "relay_port": CALLEE_PORT if side else CALLER_PORT,
            "out_of_order": 0,
            "duplicates": 0,
            "dropped": 0,
            "codec": "PCMU",
            "first_packet_at": None,
            "last_packet_at": None,
            **usual,
            **figures,
        }
    )


def samples(side: int, **changes: Any) -> StreamQuality:
    """One span of a direction."""
    usual = {
        "at": 0.0,
        "span_s": 5.0,
        "packets": 250,
        "lost": 0,
        "out_of_order": 0,
        "duplicates": 0,
        "late": 0,
        "dropped": 0,
        "jitter_ms": 2.0,
        "gap_ms": 0.0,
        "mos": 4.4,
        "remote_lost": None,
        "remote_jitter_ms": None,
        "rtt_ms": None,
    }
    port = CALLEE_PORT if side else CALLER_PORT
    return StreamQuality("audio", side, port, "PCMU", (QualitySample(**{**usual, **changes}),))


def noticed(fact: Fact, at: float, **details: str | int | float) -> TraceEntry:
    """What the server has noticed of the media at that time."""
    return TraceEntry(at, EntryKind.MEDIA, text=fact.value, fact=fact.value, details=details)


@dataclass
class Scene:
    """A bench with two registered phones; after what happened there, the only call is explained."""

    office: CoreHarness = field(default_factory=CoreHarness)
    bans: list[BanSnapshot] = field(default_factory=list)
    media: tuple[MediaFigures, ...] | None = None
    """None: both are heard well."""
    more: dict[str, Any] = field(default_factory=dict)
    """Fields of the trace to be set."""
    noticed: list[TraceEntry] = field(default_factory=list)
    """Entries that go behind the others."""
    call_id: str = ""

    def __post_init__(self) -> None:
        self.alice = FakePhone(self.office, "100", "192.0.2.10")
        self.bob = FakePhone(self.office, "101", "192.0.2.11")

    def register(self) -> Scene:
        self.alice.registered()
        self.bob.registered()
        return self

    def dial(self, number: str = "101", **more: Any) -> Any:
        """Alice's INVITE."""
        invite = self.alice.send_request("INVITE", f"sip:{number}@192.0.2.1", **{"body": OFFER, **more})
        self.call_id = invite.call_id
        return invite

    def ring(self, **more: Any) -> Any:
        """Bob rings; the INVITE that he got."""
        self.dial(**more)
        received = self.bob.expect("INVITE")
        self.bob.respond(received, 180, "Ringing")
        return received

    def talk(self, **more: Any) -> tuple[Any, Any]:
        """Bob answers, Alice acknowledges: their dialogs."""
        invite = self.dial(**more)
        received = self.bob.expect("INVITE")
        callee = self.bob.answer(received)
        answer = self.alice.expect("100 INVITE") and self.alice.expect("200 INVITE")
        caller = self.alice.caller_dialog(invite, answer)
        caller.request("ACK")
        self.bob.expect("ACK")
        return caller, callee

    def hang_up(self, caller: Any, after_s: float = 20.0) -> None:
        self.office.advance(after_s)
        caller.request("BYE")
        self.bob.respond(self.bob.expect("BYE"), 200, "OK")

    @property
    def trace(self) -> CallTrace:
        found = self.office.core.call_trace(self.call_id, None, self.office.now)
        assert found is not None, "the call left no record"
        record = record_of(found.source)
        media = self.media
        if media is None:
            media = (sound(0), sound(1)) if found.call.answered_at is not None else ()
        trace = CallTrace(
            found.call, media, (*record.entries, *self.noticed), record.dropped, record.streams, record.quality
        )
        return replace(trace, **self.more)

    def explain(self) -> Explanation:
        return explain_call(self.trace, self.bans, self.office.now_at)

    def keys(self) -> list[str]:
        """What is found, the most certain first, as `key confidence`; every text can be said in every language."""
        explanation = self.explain()
        for finding in explanation.findings:
            assert finding.evidence, f"{finding.rule} rests on nothing"
            for language in LANGUAGES:
                text = " ".join(said(finding, language))
                assert not re.search(r"[{}]|\bNone\b", text), text
        return [f"{finding.key} {finding.confidence.name.lower()}" for finding in explanation.findings]


def quick() -> Scene:
    """Timers of a hundredth."""
    return Scene(CoreHarness(TimerSettings(t1_s=0.005))).register()
