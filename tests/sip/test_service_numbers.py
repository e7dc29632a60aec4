"""sip/service_numbers.py and sip/quality_verdict.py: when a test call does what, and what comes out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.local_agent import RINGING_S
from sip.quality_verdict import judge_incoming, judge_outgoing
from sip.service_numbers import LAST_SECOND_S, LONGEST_S, MEASURE_S, RESULTS_KEPT
from sip.snapshots import Verdict
from tests.support.bench_phone import Dialog, FakePhone
from tests.support.harness import CoreHarness, FakeDirection, FakeEndpoint

REPORTED = FakeDirection(side=1, remote_lost=0, remote_jitter_ms=3.0, rtt_ms=12.0)


def connect(office: CoreHarness, phone: FakePhone, number: str) -> tuple[Dialog, FakeEndpoint]:
    """An answered and acknowledged call, whose phone sends sound."""
    invite = phone.invite(number)
    phone.expect("180 INVITE")
    office.advance(RINGING_S)
    dialog = phone.caller_dialog(invite, phone.expect("200 INVITE"))
    dialog.request("ACK")
    endpoint = office.relay.open_endpoints[-1]
    endpoint.packet_at = office.now + 10_000
    return dialog, endpoint


@pytest.mark.parametrize(("number", "program"), [("*43", "echo"), ("*44", "quality"), ("*41", "tone")])
def test_each_number_has_its_program(office: CoreHarness, alice: FakePhone, number: str, program: str) -> None:
    dialog, endpoint = connect(office, alice, number)
    assert (endpoint.program, endpoint.address) == (program, "192.0.2.1")
    dialog.request("BYE")
    alice.expect("200 BYE")


def test_the_numbers_are_settings_and_may_be_off() -> None:
    office = CoreHarness(test_echo="9196", test_tone="")
    alice = FakePhone(office, "100", "192.0.2.10").registered()
    dialog, endpoint = connect(office, alice, "9196")
    assert endpoint.program == "echo"
    dialog.request("BYE")
    alice.expect("200 BYE")
    for number in ("*41", "*43"):
        alice.send_request("INVITE", f"sip:{number}@192.0.2.1", body=alice.sdp())
        alice.expect("404 INVITE")
    office.advance(40)
    office.forget()
    office.assert_clean()


def test_a_call_ends_after_five_minutes(office: CoreHarness, alice: FakePhone) -> None:
    connect(office, alice, "*43")
    office.advance(LONGEST_S - 1)
    assert office.core.calls()
    office.advance(1)
    bye = alice.expect("BYE")
    assert "5 minutes" in bye["Reason"]
    alice.respond(bye, 200)
    (ended,) = office.recorder.ended
    assert (ended.termination_reason, ended.ended_by) == ("normal", "server")


# ------------------------------------------------------------------------------------------------ the quality test


def test_the_quality_test_measures_tells_and_hangs_up(office: CoreHarness, alice: FakePhone) -> None:
    _, endpoint = connect(office, alice, "*44")
    endpoint.counted = (FakeDirection(lost=40, mos=3.7), REPORTED)
    office.advance(MEASURE_S - 0.1)
    assert endpoint.told == ["start"]
    assert office.core.quality_results() == ()
    office.advance(0.1)
    assert endpoint.told == ["start", "announce fair good"]
    (result,) = office.core.quality_results()
    assert (result.number, result.from_number, result.at) == ("*44", "100", office.now_at)
    assert (result.to_server.verdict, result.to_phone.verdict) == (Verdict.FAIR, Verdict.GOOD)
    office.advance(3.0 + LAST_SECOND_S - 0.1)
    alice.expect_nothing()
    office.advance(0.1)
    alice.respond(alice.expect("BYE"), 200)
    (ended,) = office.recorder.ended
    assert (ended.termination_reason, ended.reason_text) == ("normal", "the quality test is over")
    office.advance(60)
    (entry,) = [each for each in office.ended_calls()[0].entries if each.fact == "test-result"]
    assert entry.details["toServerVerdict"] == "fair"
    assert entry.details["toServerLost"] == 40
    assert entry.details["toPhoneJitter"] == 3.0


def test_who_hangs_up_early_leaves_no_result(office: CoreHarness, alice: FakePhone) -> None:
    dialog, _ = connect(office, alice, "*44")
    office.advance(5)
    dialog.request("BYE")
    alice.expect("200 BYE")
    office.advance(20)
    assert office.core.quality_results() == ()


def test_the_last_results_are_kept_newest_first(office: CoreHarness, alice: FakePhone) -> None:
    for _ in range(RESULTS_KEPT + 2):
        connect(office, alice, "*44")
        office.advance(MEASURE_S + 3.0 + LAST_SECOND_S)
        alice.respond(alice.expect("BYE"), 200)
    results = office.core.quality_results()
    assert len(results) == RESULTS_KEPT
    assert [each.at for each in results] == sorted((each.at for each in results), reverse=True)


# ------------------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("mos", "verdict"), [(4.4, "good"), (4.0, "good"), (3.9, "fair"), (3.6, "fair"), (3.5, "poor"), (None, "unknown")]
)
def test_a_verdict_is_by_the_mos(mos: float | None, verdict: str) -> None:
    assert judge_incoming(FakeDirection(mos=mos)).verdict.value == verdict
    assert judge_outgoing(replace(REPORTED, mos=mos)).verdict.value == verdict


def test_the_sentences_have_the_figures() -> None:
    heard = judge_incoming(FakeDirection(packets=490, lost=10, mos=4.1))
    assert heard.text == "good: 10 of 500 packets lost (2.0 %), jitter 2.0 ms, MOS 4.1"
    assert heard.lost_percent == 2.0
    sent = judge_outgoing(replace(REPORTED, remote_lost=-3))
    assert sent.text == "good: 0 of 500 packets lost (0.0 %), jitter 3.0 ms, MOS 4.4"
    assert sent.round_trip_ms == 12.0


def test_nothing_from_the_phone_is_poor_and_nothing_known_is_unknown() -> None:
    assert judge_incoming(FakeDirection(packets=0)).verdict is Verdict.POOR
    unknown = judge_outgoing(FakeDirection(side=1))
    assert (unknown.verdict, unknown.packets, unknown.lost) == (Verdict.UNKNOWN, 500, None)
    assert "no RTCP" in unknown.text
    assert judge_outgoing(FakeDirection(side=1, packets=0)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("level", [None, -60.0])
def test_a_silent_microphone_is_noticed(level: float | None) -> None:
    heard = judge_incoming(FakeDirection(peak_dbm0=level))
    assert heard.verdict is Verdict.GOOD
    assert "the microphone may be off" in heard.text
