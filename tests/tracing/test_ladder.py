"""The course of a call as a diagram: in columns for a terminal, and as Mermaid text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sip.flow import Flow
from sip.journal import MAX_ENTRIES
from sip.snapshots import CallState
from tests.support.dialogues import (
    ALICE,
    BEGAN_AT,
    DESK,
    ENTRIES,
    INVITE,
    decided,
    make_call,
    make_trace,
    received,
    sent,
    sip,
)
from tracing.ladder import ladder
from tracing.ladder_text import MAX_WIDTH, as_mermaid, as_text

EXPECTED = Path(__file__).parent.parent / "data" / "traces"


def diagram(*entries, **source):
    return ladder(make_trace(*entries, **source))


def test_the_whole_call_as_text() -> None:
    assert as_text(diagram()) == (EXPECTED / "call.txt").read_text()


def test_the_whole_call_as_mermaid() -> None:
    assert as_mermaid(diagram()) == (EXPECTED / "call.mmd").read_text()


def test_who_takes_part() -> None:
    assert [(each.id, each.role, each.name, each.address) for each in diagram().participants] == [
        ("phone1", "caller", "100", "192.168.1.10:5062"),
        ("server", "server", "server", ""),
        ("phone2", "callee", "101", "192.168.1.11:5060"),
        ("phone3", "callee", "101", "192.168.1.12:49152"),
    ]


def test_a_step_says_what_it_is_to_programs() -> None:
    steps = diagram().steps
    invite, trying, note, _, _, _, _, again = steps[:8]
    assert (invite.kind, invite.source, invite.target) == ("message", "phone1", "server")
    assert (invite.method, invite.status, invite.cseq, invite.size) == ("INVITE", 0, "1 INVITE", len(INVITE))
    assert (trying.source, trying.target, trying.method, trying.status) == ("server", "phone1", "INVITE", 100)
    assert (note.kind, note.fact, note.source) == ("decision", "called", "")
    assert [step.is_repeated for step in (invite, again)] == [False, True]
    assert [step.index for step in steps] == list(range(len(ENTRIES)))
    assert again.offset_s == pytest.approx(0.501)


def test_what_comes_again_from_elsewhere_or_the_other_way_is_not_the_same() -> None:
    options = sip("OPTIONS sip:100@192.168.1.10 SIP/2.0", cseq="7 OPTIONS")
    steps = diagram(sent(0, ALICE, options), sent(0, DESK, options), received(0, DESK, options), sent(1, DESK, options))
    assert [step.is_repeated for step in steps.steps] == [False, False, False, True]


def test_two_numbers_at_one_address_are_one_participant() -> None:
    both = diagram(received(0, ALICE, INVITE), sent(0, ALICE, sip("INVITE sip:101@192.168.1.10 SIP/2.0", branch="b1")))
    assert [(each.role, each.name) for each in both.participants] == [("caller", "100, 101"), ("server", "server")]


def test_a_phone_that_comes_by_another_port_keeps_its_number() -> None:
    moved = ALICE._replace(remote_port=7000)
    bye = sip("BYE sip:101@192.168.1.11 SIP/2.0", cseq="2 BYE")
    found = diagram(received(0, ALICE, INVITE), received(9, moved, bye)).participants
    assert [(each.role, each.name, each.address) for each in found] == [
        ("caller", "100", "192.168.1.10:5062"),
        ("server", "server", ""),
        ("other", "100", "192.168.1.10:7000"),
    ]


def test_what_can_not_be_read_is_shown_all_the_same() -> None:
    lost = received(1.0, ALICE, b"", size=900)
    steps = diagram(received(0, ALICE, INVITE), lost, received(2.0, ALICE, b"nonsense")).steps
    assert [step.label for step in steps] == ["INVITE (SDP)", "a message whose text was not kept", "a message"]
    assert [step.size for step in steps[1:]] == [900, 8]
    headerless = diagram(received(0, ALICE, b"SIP/2.0 200 OK\r\n\r\n")).steps
    assert [(step.label, step.cseq, step.method) for step in headerless] == [("200 OK", "", "")]


def test_ipv6_stands_in_brackets() -> None:
    flow = Flow("UDP", "2001:db8::1", 5060, "2001:db8::5", 5060)
    assert diagram(received(0, flow, INVITE)).participants[0].address == "[2001:db8::5]:5060"


def test_a_crowd_of_phones_shares_a_column_and_no_line_is_too_long() -> None:
    flows = [Flow("UDP", "192.168.1.2", 5060, f"192.168.1.{number}", 5060) for number in range(20, 40)]
    invites = [
        sent(0.001, flow, sip(f"INVITE sip:101@{flow.remote_host} SIP/2.0", branch=f"b{place}"))
        for place, flow in enumerate(flows)
    ]
    text = as_text(diagram(received(0, ALICE, INVITE), *invites, decided(0.1, "word " * 60)))
    assert max(map(len, text.splitlines())) <= MAX_WIDTH
    assert "18 more" in text.splitlines()[4]
    assert "192.168.1.39:5060 INVITE [1]" in text
    assert text.count("* word") == 1 and text.count("word") == 60


def test_where_entries_were_dropped_it_says_so() -> None:
    entries = [received(0, ALICE, INVITE)] + [decided(1.0, f"no. {number}") for number in range(MAX_ENTRIES + 4)]
    lines = as_text(diagram(*entries, dropped=17)).splitlines()
    place = next(place for place, line in enumerate(lines) if "17 entries were not kept" in line)
    assert lines[place - 1].endswith(f"no. {MAX_ENTRIES - 2}")
    assert lines[place + 1].endswith(f"no. {MAX_ENTRIES - 1}")


def test_a_call_in_progress_and_one_of_which_nothing_is_left() -> None:
    live = make_call(state=CallState.ESTABLISHED, ended_at=None, termination_reason=None, reason_text="")
    assert as_text(ladder(make_trace(call=live))).splitlines()[2] == "established"
    empty = ladder(replace(make_trace(), entries=()))
    assert as_text(empty).splitlines()[-1].strip() == "nothing was kept"
    assert as_mermaid(empty) == "sequenceDiagram\n    participant server as server\n"


def test_words_of_phones_break_no_diagram() -> None:
    hostile = "x; end\n#quot; <script>%% {y} `z` \\"
    call = make_call(call_id="a\nb", from_number="1;0#0", reason_text=hostile)
    reply = sip("SIP/2.0 486 Busy; #1 <b>%%{end}")
    found = ladder(make_trace(received(0, ALICE, INVITE), decided(1, hostile), received(2, ALICE, reply), call=call))
    lines = as_mermaid(found).splitlines()
    assert len(lines) == 6
    assert lines[1] == "    participant phone1 as 1#59;0#35;0 (UDP)<br/>192.168.1.10:5062"
    assert lines[4] == (
        "    Note over phone1,server: x#59; end #35;quot#59; #60;script#62;#37;#37; #123;y#125; #96;z#96; #92; +1.000 s"
    )
    assert lines[5].endswith(": 486 Busy#59; #35;1 #60;b#62;#37;#37;#123;end#125; [1 INVITE] +2.000 s")
    assert as_text(found).splitlines()[0] == "Call a b"
    assert found.trace.call.invited_at == BEGAN_AT
