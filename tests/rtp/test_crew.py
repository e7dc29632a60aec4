"""Worker processes: lent lines, figures without a gap, and the death of a worker. Real processes on Linux."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rtp import crew as crew_module
from rtp.channel import Word
from rtp.crew import CAN_LEND, Worker
from rtp.figures import MediaEventKind
from rtp.relay import RelaySession, RtpRelay
from rtp.worker_process import WorkerProcess

Make = Callable[..., bytes]

pytestmark = pytest.mark.skipif(not CAN_LEND, reason="needs Linux")


@pytest.fixture
def workers() -> int:
    return 1


def is_lent(session: RelaySession) -> bool:
    return session._legs is not None and session._legs._line.is_lent


@pytest.fixture
def lent(call, wait: Callable):
    """A call whose media a worker copies."""
    call.talk()
    wait(call.relay)
    assert is_lent(call.session)
    return call


def pids(relay: RtpRelay) -> list[int]:
    assert relay._crew is not None
    return [worker.process.pid for worker in relay._crew._workers]


def test_the_worker_copies_what_the_server_no_longer_hears(lent, rtp: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = lent.relay._place.loop._handlers
    for twin in lent.session._legs._line.twins:
        handlers[twin.fileno()] = lambda _now: pytest.fail("the server reads it")
    for number in range(1, 30):
        lent.caller.send(rtp(number))
        assert lent.callee.receive() == rtp(number)
        assert lent.session.figures()[0].packets == number + 1
    assert lent.relay._place.loop._faults.met == 0


def test_figures_are_those_of_one_stream_however_often_it_moves(lent, rtp: Make) -> None:
    sent = 1
    for _ in range(5):
        for number in (sent, sent + 2, sent + 1):  # one late each time, within one process
            lent.caller.send(rtp(number))
            lent.callee.receive()
        sent += 3
        lent.settle()
        assert is_lent(lent.session)
    lent.caller.send(rtp(sent + 4))
    lent.callee.receive()
    stream, _ = lent.session.close()
    assert (stream.packets, stream.lost, stream.out_of_order, stream.duplicates) == (17, 4, 5, 0)
    assert (stream.codec, stream.ssrc, stream.payload_type) == ("PCMU", 0x1234, 0)
    assert stream.first_packet_at is not None
    assert stream.last_packet_at is not None
    assert stream.first_packet_at < stream.last_packet_at


def test_silence_is_noticed_by_the_workers_clock(lent, rtp: Make) -> None:
    before = lent.session.pulses()[0].heard_at
    lent.caller.send(rtp(1))
    lent.callee.receive()
    assert lent.session.pulses()[0].heard_at > before


def test_another_source_in_the_stream_is_told_to_the_server(lent, rtp: Make) -> None:
    for number in range(1, 4):
        lent.caller.send(rtp(number, ssrc=0x9999))
        lent.callee.receive()
    lent.settle()
    assert lent.session.drain_events()[-1].kind is MediaEventKind.NEW_SSRC
    assert lent.session.close()[0].ssrc == 0x9999


def test_junk_of_the_phone_is_counted_once_and_passed_to_nobody(lent, rtp: Make, is_silent: Callable) -> None:
    lent.caller.send(b"", b"\x80", b"\xff" * 100, rtp(1))
    assert lent.callee.receive() == rtp(1)
    lent.settle()
    assert is_silent(lent.callee.rtp)
    assert lent.session.close()[0].rejected == 3


def test_media_that_come_by_another_way_bring_the_line_back_for_good(lent, rtp: Make) -> None:
    # The twin is bound to the address the phone was first seen at; this packet goes to another one of this machine.
    for number in range(1, 4):
        lent.caller.rtp.sendto(rtp(number), ("127.0.0.3", lent.caller.relay_port))
        assert lent.callee.receive() == rtp(number)
    lent.settle()
    lent.settle()
    assert not is_lent(lent.session)
    lent.caller.send(rtp(4))
    assert lent.callee.receive() == rtp(4)


def test_hold_brings_the_line_back_and_resume_lends_it_again(lent) -> None:
    lent.say(0, None, None, lent.caller.hosts, {})
    assert not is_lent(lent.session)
    lent.say(0, lent.caller.address, lent.caller.rtcp_address, lent.caller.hosts, {})
    assert is_lent(lent.session)


def test_the_same_description_again_moves_nothing(lent, rounds: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker, "claim", lambda _self, _slot: pytest.fail("the line is wanted back"))
    lent.session.set_peer(0, lent.caller.address, lent.caller.rtcp_address, lent.caller.hosts, {})
    lent.session.set_peer(1, lent.callee.address, lent.callee.rtcp_address, lent.callee.hosts, {})
    rounds(lent.relay, 0)
    assert is_lent(lent.session)
    assert lent.relay._place.loop._faults.met == 0


def test_a_workers_death_costs_no_packet_and_is_told(lent, rtp: Make, caplog: pytest.LogCaptureFixture) -> None:
    [pid] = pids(lent.relay)
    os.kill(pid, signal.SIGKILL)
    for number in range(1, 30):
        lent.caller.send(rtp(number))
        assert lent.callee.receive() == rtp(number)
    assert not is_lent(lent.session)
    assert not Path(f"/proc/{pid}").exists()
    assert f"media worker {pid} has died" in caplog.text
    assert MediaEventKind.TAKEN_BACK in [event.kind for event in lent.session.drain_events()]
    assert [stream.packets for stream in lent.session.close()] == [30, 1]


def test_a_worker_that_dies_late_is_replaced_and_serves_on(
    lent, await_workers: Callable, monkeypatch: pytest.MonkeyPatch, rtp: Make
) -> None:
    monkeypatch.setattr(crew_module, "_RETRY_S", 0.0)
    [pid] = pids(lent.relay)
    os.kill(pid, signal.SIGKILL)
    lent.caller.send(rtp(1))
    assert lent.callee.receive() == rtp(1)  # the death has been noticed, for nobody else could have passed this on
    await_workers(lent.relay, 1)
    lent.settle()
    assert pids(lent.relay) != [pid]
    assert is_lent(lent.session)


def test_a_worker_that_cannot_be_started_costs_nobody_his_call(
    ports: Callable, phone: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, new_call
) -> None:
    def refuse() -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(crew_module, "WorkerProcess", refuse)
    first = ports(4)
    relay = RtpRelay("0.0.0.0", first, first + 3, workers=2)
    relay.start()
    try:
        new_call(relay).talk()
    finally:
        relay.stop()
    assert [record.message for record in caplog.records] == [
        "no worker process for media: no more processes; the server relays them itself"
    ]


def test_left_to_itself_a_relay_starts_a_worker_when_it_pays(
    ports: Callable, wait: Callable, monkeypatch: pytest.MonkeyPatch, await_workers: Callable, new_call
) -> None:
    monkeypatch.setattr(crew_module, "ENOUGH_LINES", 2)
    first = ports(40)
    relay = RtpRelay("0.0.0.0", first, first + 39, workers=None)
    relay.start()
    try:
        calls = [new_call(relay) for _ in range(2)]
        for each in calls:
            each.talk()
        wait(relay)
        assert (pids(relay), [is_lent(each.session) for each in calls]) == ([], [False, False])
        calls.append(new_call(relay))
        calls[-1].talk()
        wait(relay)
        await_workers(relay, 1)
        wait(relay)
        assert [is_lent(each.session) for each in calls] == [True] * 3
    finally:
        relay.stop()


def test_lines_spread_over_the_workers(ports: Callable, wait: Callable, await_workers: Callable, new_call) -> None:
    first = ports(40)
    relay = RtpRelay("0.0.0.0", first, first + 39, workers=2)
    relay.start()
    try:
        await_workers(relay, 2)
        for _ in range(4):
            new_call(relay).talk()
            wait(relay)
        assert relay._crew is not None
        assert [len(worker.lines) for worker in relay._crew._workers] == [2, 2]
    finally:
        relay.stop()


def test_a_worker_goes_on_saying_that_it_has_room(relay: RtpRelay, new_call) -> None:
    call = new_call(relay)
    call.talk()
    for _ in range(100):  # more than it says it has room for at first; each moves the line away and back
        call.settle(0)
        assert is_lent(call.session)


def test_stop_ends_the_workers(relay: RtpRelay) -> None:
    [pid] = pids(relay)
    relay.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert relay.workers_running() == 0


def test_a_worker_ends_with_the_server_and_not_by_its_signals() -> None:
    process = WorkerProcess()
    try:
        assert select.select([process.channel.sock], [], [], 10.0)[0]
        assert process.channel.receive() == ((Word.READY, 64), [])
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGINT)
        process.channel.sock.shutdown(socket.SHUT_RDWR)  # what the server's death does
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
    finally:
        process.end()
        process.close()
