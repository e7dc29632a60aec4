"""sip/media_watch.py: what is noticed of the sound of a call while it lasts."""

from __future__ import annotations

import pytest

from rtp.pulse import NO_PULSE, Pulse
from sip.media_relay import CALLEE, CALLER, Watched
from sip.media_watch import NEVER_HEARD_S, RATED_S, STOPPED_S, Finding, MediaWatch

ANSWERED = 1_000.0
LOOK_S = 2.0
PACKETS_PER_S = 50


class Line:
    """A call with one stream, looked at every two seconds; `talking` are the sides that send."""

    def __init__(self) -> None:
        self.now = ANSWERED
        self.watch = MediaWatch(ANSWERED)
        self.pulses = [NO_PULSE, NO_PULSE]
        self.talking: set[int] = set()
        self.both_ways = True
        self.ports = (10_000, 10_002)
        self.loss = 0.0

    def pass_time(self, seconds: float) -> list[Finding]:
        """What was found meanwhile."""
        findings: list[Finding] = []
        for _ in range(round(seconds / LOOK_S)):
            self.now += LOOK_S
            for side in self.talking:
                self._send(side)
            findings += self.watch.look([Watched(self.ports, self.both_ways, tuple(self.pulses))], self.now)
        return findings

    def _send(self, side: int) -> None:
        before, sent = self.pulses[side], int(LOOK_S * PACKETS_PER_S)
        lost = int(sent * self.loss)
        self.pulses[side] = before._replace(
            packets=before.packets + sent - lost,
            received=before.received + sent - lost,
            lost=before.lost + lost,
            last_at=self.now - 0.02,
            codec="PCMA",
        )


def told(findings: list[Finding]) -> list[tuple[str, int | None]]:
    return [(each.fact, each.side) for each in findings]


@pytest.fixture
def line() -> Line:
    return Line()


def test_the_first_packets_of_each_side_are_told_once(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    findings = line.pass_time(600)
    assert told(findings) == [("audio-started", CALLER), ("audio-started", CALLEE)]
    assert findings[0].since == ANSWERED + LOOK_S - 0.02
    assert (findings[0].figures["again"], findings[0].figures["codec"]) == (0, "PCMA")


@pytest.mark.parametrize(("heard", "missed"), [(CALLER, CALLEE), (CALLEE, CALLER)])
def test_one_way_audio_is_noticed_soon_after_the_answer_and_once(line: Line, heard: int, missed: int) -> None:
    line.talking = {heard}
    line.pulses[1 - heard] = Pulse(rejected=7)
    first = line.pass_time(NEVER_HEARD_S - 1)
    assert told(first) == [("audio-started", heard)]
    (found,) = line.pass_time(60)
    assert (found.fact, found.side, found.since) == ("one-way-audio", missed, ANSWERED)
    assert (found.figures["packets"], found.figures["rejected"]) == (0, 7)
    assert found.figures["otherPackets"] == 300
    assert found.figures["relayPort"] == line.ports[1 - heard]


def test_packets_of_before_the_answer_are_no_proof_that_a_side_is_heard(line: Line) -> None:
    line.pulses[CALLEE] = Pulse(packets=20, received=20, last_at=ANSWERED - 1)
    line.talking = {CALLER}
    assert ("one-way-audio", CALLEE) in told(line.pass_time(10))


def test_sound_that_comes_late_is_told_and_may_be_missed_again(line: Line) -> None:
    line.talking = {CALLER}
    line.pass_time(10)
    line.talking = {CALLER, CALLEE}
    assert told(line.pass_time(10)) == [("audio-started", CALLEE)]
    line.talking = {CALLER}
    assert told(line.pass_time(STOPPED_S + LOOK_S)) == [("audio-stopped", CALLEE)]
    line.talking = {CALLER, CALLEE}
    (found,) = line.pass_time(10)
    assert (found.fact, found.side, found.figures["again"]) == ("audio-started", CALLEE, 1)


def test_a_side_that_was_heard_may_pause_for_a_while(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(30)
    line.talking = {CALLER}
    assert line.pass_time(STOPPED_S - LOOK_S) == []
    (found,) = line.pass_time(LOOK_S * 2)
    assert (found.fact, found.side, found.since) == ("audio-stopped", CALLEE, ANSWERED + 30 - 0.02)


def test_silence_of_both_from_the_start(line: Line) -> None:
    assert line.pass_time(STOPPED_S - LOOK_S) == []
    (found,) = line.pass_time(60)
    assert (found.fact, found.side, found.since) == ("no-audio", None, ANSWERED)
    assert (found.figures["callerPackets"], found.figures["calleePackets"]) == (0, 0)


def test_silence_of_both_in_the_middle(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(30)
    line.talking = set()
    assert told(line.pass_time(60)) == [("audio-stopped", None)]
    line.talking = {CALLER, CALLEE}
    assert told(line.pass_time(10)) == [("audio-started", CALLER), ("audio-started", CALLEE)]


def test_one_side_that_stops_after_the_other_is_silence_of_both(line: Line) -> None:
    line.talking = {CALLER}
    line.pass_time(10)
    line.talking = set()
    assert told(line.pass_time(60)) == [("audio-stopped", None)]


def test_a_call_on_hold_is_never_missed(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(30)
    line.both_ways = False
    line.talking = {CALLER}
    assert line.pass_time(600) == []
    line.talking = set()
    assert line.pass_time(600) == []


def test_after_a_hold_the_time_begins_anew(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(30)
    line.both_ways, line.talking = False, set()
    line.pass_time(600)
    line.both_ways, line.talking = True, {CALLER}
    assert line.pass_time(NEVER_HEARD_S) == []
    (found,) = line.pass_time(4)
    assert (found.fact, found.side, found.since) == ("one-way-audio", CALLEE, ANSWERED + 630 + LOOK_S)


def test_a_stream_that_replaces_another_is_watched_from_its_own_beginning(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(30)
    line.ports, line.pulses, line.talking = (10_004, 10_006), [NO_PULSE, NO_PULSE], {CALLER}
    assert told(line.pass_time(10)) == [("audio-started", CALLER), ("one-way-audio", CALLEE)]


def test_bad_sound_is_told_when_it_gets_bad_and_when_it_gets_good_and_not_in_between(line: Line) -> None:
    line.talking = {CALLER, CALLEE}
    line.pass_time(60)
    line.loss = 0.2
    findings = line.pass_time(120)
    assert told(findings) == [("audio-poor", CALLER), ("audio-poor", CALLEE)]
    figures = findings[0].figures
    assert (figures["lossPercent"], figures["codec"]) == (20.0, "PCMA")
    assert 1.0 < float(figures["mos"]) < 3.0
    line.loss = 0.0
    assert told(line.pass_time(120)) == [("audio-good", CALLER), ("audio-good", CALLEE)]


def test_old_losses_do_not_make_the_sound_of_now_bad(line: Line) -> None:
    line.pulses[CALLER] = Pulse(packets=100, received=100, lost=900, last_at=ANSWERED - 1)
    line.talking = {CALLER, CALLEE}
    assert "audio-poor" not in [fact for fact, _ in told(line.pass_time(60))]


def test_a_few_packets_are_not_rated(line: Line) -> None:
    line.pulses[CALLER] = Pulse(packets=10, received=10, last_at=ANSWERED + 1)
    line.pass_time(LOOK_S)
    line.pulses[CALLER] = Pulse(packets=20, received=20, lost=60, last_at=ANSWERED + RATED_S)
    assert "audio-poor" not in [fact for fact, _ in told(line.pass_time(60))]
