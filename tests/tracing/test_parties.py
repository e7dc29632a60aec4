"""Who took part in a call, and what came of it."""

from __future__ import annotations

from tests.support.dialogues import ALICE, BEGAN_AT, DESK, INVITE, decided, make_trace, received, sent, sip
from tracing.ladder import ladder
from tracing.parties import TracedParty, parties


def test_the_caller_and_every_phone_that_was_tried() -> None:
    assert parties(make_trace()) == (
        TracedParty(
            "caller",
            "100",
            "192.168.1.10:5062",
            "UDP",
            "Desk 1.0",
            "sip:100@192.168.1.10:5062",
            BEGAN_AT,
            BEGAN_AT + 0.2,
            BEGAN_AT + 3.0,
            200,
            "OK",
        ),
        TracedParty(
            "callee",
            "101",
            "192.168.1.11:5060",
            "UDP",
            "Wall 2",
            "sip:101@192.168.1.11",
            BEGAN_AT + 0.001,
            BEGAN_AT + 0.2,
            None,
            487,
            "Request Terminated",
        ),
        TracedParty(
            "callee",
            "101",
            "192.168.1.12:49152",
            "TCP",
            "App",
            "sip:101@192.168.1.12:49152",
            BEGAN_AT + 0.001,
            None,
            BEGAN_AT + 3.0,
            200,
            "OK",
        ),
    )


def test_what_the_registration_told_of_a_phone_counts_until_the_phone_speaks() -> None:
    fact = decided(0.0, "called", "called", number="105", address="192.168.1.11:5060", userAgent="Registered 1")
    invite = sent(0.1, DESK, sip("INVITE sip:xyz@192.168.1.11 SIP/2.0", branch="b1"))
    _, silent = parties(make_trace(received(0, ALICE, INVITE), fact, invite))
    assert (silent.number, silent.user_agent, silent.status) == ("105", "Registered 1", 0)
    ringing = received(0.2, DESK, sip("SIP/2.0 180 Ringing", "Server: Wall 2", branch="b1"))
    assert parties(make_trace(received(0, ALICE, INVITE), fact, invite, ringing))[1].user_agent == "Wall 2"


def test_a_second_invite_of_the_dialog_and_other_requests_are_no_further_phones() -> None:
    again = received(9.0, ALICE, sip("INVITE sip:101@192.168.1.12 SIP/2.0", branch="a9", cseq="2 INVITE", tag="m"))
    onward = sent(9.0, DESK, sip("INVITE sip:101@192.168.1.12 SIP/2.0", branch="b9", cseq="2 INVITE", tag="m"))
    bye = sent(9.0, DESK, sip("BYE sip:101@192.168.1.12 SIP/2.0", branch="b8", cseq="3 BYE", tag="m"))
    assert len(parties(make_trace(received(0, ALICE, INVITE), again, onward, bye))) == 1


def test_hostile_messages_leave_gaps_and_break_nothing() -> None:
    bad = sip("INVITE sip:101@192.168.1.11 SIP/2.0", "Contact: <<<", branch="b1").replace(b"To: <sip", b"To: <<<sip")
    found = parties(make_trace(received(0, ALICE, bad), received(0, ALICE, b"INVITE"), sent(0, DESK, bad)))
    assert [(party.role, party.contact) for party in found] == [("caller", ""), ("callee", "sip:101@192.168.1.11")]
    assert parties(make_trace(received(0, ALICE, b"\xff" * 40))) == ()


def test_where_the_server_was_asked_to_connect_two_the_first_that_is_rung_is_the_caller() -> None:
    rung = sent(0.0, ALICE, sip("INVITE sip:100@192.168.1.10 SIP/2.0", branch="b1"))
    picked_up = received(1.0, ALICE, sip("SIP/2.0 200 OK", "Server: Wall 2", branch="b1", tag="a"))
    called = sent(1.0, DESK, sip("INVITE sip:101@192.168.1.11 SIP/2.0", branch="b2"))
    trace = make_trace(rung, picked_up, called)
    assert [(party.role, party.number, party.status) for party in parties(trace)] == [
        ("caller", "100", 200),
        ("callee", "101", 0),
    ]
    assert [each.name for each in ladder(trace).participants] == ["100", "server", "101"]
