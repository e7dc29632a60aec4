"""sip/journal.py: the record of one call, complete and bounded."""

from __future__ import annotations

from sip.flow import Flow
from sip.journal import MAX_BYTES, MAX_ENTRIES, MAX_TAIL, Budget, EntryKind, Journal
from sip.snapshots import TerminationReason
from sip.trace_keeper import TRACE_AFTER_S
from tests.support.bench_phone import FakePhone, establish, hang_up
from tests.support.harness import CoreHarness

FLOW = Flow("UDP", "192.0.2.1", 5060, "192.0.2.10", 5060)


def test_entries_in_their_order_with_what_they_are() -> None:
    journal = Journal(Budget(10**9))
    journal.received(1.0, FLOW, b"INVITE")
    journal.decided(2.0, "forwarded")
    journal.sent(3.0, FLOW, b"100")
    journal.media(4.0, "first packet")
    assert [(entry.at, entry.kind, entry.size, entry.data, entry.text) for entry in journal.entries()] == [
        (1.0, EntryKind.RECEIVED, 6, b"INVITE", ""),
        (2.0, EntryKind.DECISION, 0, b"", "forwarded"),
        (3.0, EntryKind.SENT, 3, b"100", ""),
        (4.0, EntryKind.MEDIA, 0, b"", "first packet"),
    ]
    assert (journal.size, journal.dropped) == (9, 0)


def test_a_decision_may_name_its_fact_with_details() -> None:
    journal = Journal(Budget(10**9))
    journal.decided(1.0, "101 is not registered", "not-registered", {"number": "101"})
    journal.media(2.0, "caller: no sound", "silent", {"side": 0, "since": 1.5})
    journal.decided(3.0, "forwarded")
    assert [(entry.fact, dict(entry.details)) for entry in journal.entries()] == [
        ("not-registered", {"number": "101"}),
        ("silent", {"side": 0, "since": 1.5}),
        ("", {}),
    ]


def test_beginning_and_end_are_kept_and_the_middle_is_counted() -> None:
    journal = Journal(Budget(10**9))
    total = MAX_ENTRIES + MAX_TAIL + 50
    for number in range(total):
        journal.decided(float(number), str(number))
    texts = [entry.text for entry in journal.entries()]
    assert texts == [str(number) for number in (*range(MAX_ENTRIES), *range(total - MAX_TAIL, total))]
    assert journal.dropped == 50


def test_big_messages_keep_their_facts_and_lose_their_text() -> None:
    journal = Journal(Budget(10**9))
    for _ in range(MAX_ENTRIES + MAX_TAIL):
        journal.received(0.0, FLOW, bytes(65_000))
    assert journal.size <= 2 * MAX_BYTES
    assert {entry.size for entry in journal.entries()} == {65_000}
    assert sum(1 for entry in journal.entries() if entry.data) == 8


def test_clearing_drops_and_counts_everything() -> None:
    journal = Journal(Budget(10**9))
    for _ in range(3):
        journal.sent(0.0, FLOW, b"x")
    journal.clear()
    assert (journal.entries(), journal.size, journal.dropped) == ((), 0, 3)


def test_every_message_of_a_call_is_recorded_once(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)
    assert [line for line in office.journal() if line[0] in "<>"] == [
        "> INVITE",
        "< 100 INVITE",
        "< INVITE",
        "> 180 INVITE",
        "< 180 INVITE",
        "> 200 INVITE",
        "< 200 INVITE",
        "> ACK",
        "< ACK",
        "> BYE",
        "< BYE",
        "> 200 BYE",
        "< 200 BYE",
    ]
    assert "call ended: normal: 100 hung up" in office.journal()


def test_the_record_has_the_very_bytes_and_addresses(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    call = establish(alice, bob)
    hang_up(call.caller, call.callee)
    office.advance(TRACE_AFTER_S)
    (row,) = office.ended_calls()
    entries = row.entries
    assert entries[0].data == call.invite.to_bytes()
    sent = [(entry.flow, entry.data) for entry in entries if entry.kind is EntryKind.SENT]
    assert sent == [(each.flow, each.data) for each in office.sent if b"REGISTER" not in each.data]
    assert {entry.at for entry in entries} == {office.now_at - TRACE_AFTER_S}


def test_a_cancelled_call_has_its_cancel_and_its_decision(
    office: CoreHarness, alice: FakePhone, bob: FakePhone
) -> None:
    invite = alice.invite("101")
    received = bob.expect("INVITE")
    bob.respond(received, 180)
    alice.cancel(invite)
    bob.respond(bob.expect("CANCEL"), 200, "OK")
    bob.respond(received, 487)
    lines = office.journal()
    for line in ("> CANCEL", "the caller cancelled", "< 200 CANCEL", "< CANCEL", "> 200 CANCEL", "> 487 INVITE"):
        assert lines.count(line) == 1
    assert lines.count("< ACK") == 1
    assert lines.count("< 487 INVITE") == 1


def test_a_refused_call_has_a_record_too(office: CoreHarness, alice: FakePhone) -> None:
    alice.send_request("INVITE", "sip:999@192.0.2.1")
    assert office.journal()[:3] == ["> INVITE", "999 is no number of this office (100-110)", "< 404 INVITE"]


def test_repetitions_are_recorded_as_they_happen(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    alice.invite("101")
    office.advance(1.6)
    assert office.journal().count("< INVITE") == 3
    office.forget()


def test_what_the_server_does_by_itself_is_recorded(office: CoreHarness, alice: FakePhone, bob: FakePhone) -> None:
    establish(alice, bob)
    office.core.end_calls(TerminationReason.ADMIN, "because", office.now)
    office.collect()
    lines = office.journal()
    assert lines.count("< BYE") == 2
    assert "call ended: admin: because" in lines
