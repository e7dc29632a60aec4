"""Opening, closing, figures and the end of the relay, over loopback sockets."""

from __future__ import annotations

import errno
import gc
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtp import leg as leg_module
from rtp import ports as ports_module
from rtp.header_log import RECORD
from rtp.relay import RelaySession, RtpRelay
from rtp.series import SPAN_S
from tests.support.office import eventually

Make = Callable[..., bytes]

pytestmark = pytest.mark.usefixtures(
    "twins"
)  # everything holds without and with connected sockets, and in a worker process


def test_exhaustion_gives_none_leaks_nothing_and_ends_with_a_close(relay: RtpRelay) -> None:
    sessions = [relay.open(f"call-{number}", "audio") for number in range(10)]
    assert all(sessions)
    for _ in range(20):
        assert relay.open("one too many", "audio") is None
    freed = sessions.pop(3)
    assert freed is not None
    freed.close()
    again = relay.open("call-10", "audio")
    assert again is not None
    assert again.ports == freed.ports


def test_an_odd_pair_left_over_is_given_back(ports: Callable[[int], int]) -> None:
    first = ports(6)
    relay = RtpRelay("0.0.0.0", first, first + 5)
    relay.start()
    session = relay.open("call-1", "audio")
    assert session is not None
    assert relay.open("call-2", "audio") is None
    session.close()
    assert relay.open("call-3", "audio") is not None
    relay.stop()


def test_running_out_of_descriptors_is_a_refusal(relay: RtpRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(_host: str, _port: int) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(ports_module, "bind_udp", bind)
        assert relay.open("call-1", "audio") is None
    assert relay.open("call-2", "audio") is not None


def test_without_a_descriptor_for_a_twin_media_still_flow(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_module, "connected_twin", lambda _sock, _peer: None)
    for _ in range(3):
        call.talk()


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_opening_and_closing_the_whole_range_leaks_nothing(
    ports: Callable[[int], int], phone: Callable, rtp: Make, workers: int, wait: Callable
) -> None:
    caller, callee = phone(), phone()
    first = ports(40)
    gc.collect()  # What earlier tests have left must not go meanwhile.
    before = set(Path("/proc/self/fd").iterdir())
    relay = RtpRelay("0.0.0.0", first, first + 39, workers)
    relay.start()
    for _ in range(10):
        sessions = []
        while (session := relay.open("call", "audio")) is not None:
            sessions.append(session)
            for side, each in enumerate((caller, callee)):
                each.relay_port = session.ports[side]
                session.set_peer(side, each.address, each.rtcp_address, each.hosts, {})
            caller.send(rtp(1))
            assert callee.receive() == rtp(1)
        assert len(sessions) == 10
        wait(relay)
        for session in sessions:
            session.close()
        wait(relay)
    relay.stop()
    assert set(Path("/proc/self/fd").iterdir()) <= before
    assert (relay.totals().packets, relay.snapshot()) == (100, ())


def test_a_closed_call_leaves_its_ports_to_the_next(call, wait: Callable) -> None:
    call.talk()
    wait(call.relay)
    call.session.close()
    # A worker process may have to let go of them first.
    eventually(lambda: len(call.relay._place.pool._resting) == 2, "both pairs of the closed call at rest")
    ports = set()
    while (session := call.relay.open("call", "audio")) is not None:
        ports.add(session.ports)
    assert call.session.ports in ports


def test_close_twice_gives_the_same_figures(call) -> None:
    call.talk()
    figures = call.session.close()
    assert [stream.packets for stream in figures] == [1, 1]
    assert not any(stream.active for stream in figures)
    assert call.session.close() is figures
    assert call.relay.snapshot() == ()
    totals = call.relay.totals()
    assert (totals.packets, totals.bytes, totals.active_streams) == (2, 2 * 172, 0)


def test_a_closed_session_ignores_what_is_still_said_of_it(call) -> None:
    call.talk()
    call.session.close()
    call.announce()
    call.settle()
    assert call.relay._place.loop._faults.met == 0


def test_closing_under_traffic_harms_nobody(relay: RtpRelay, phone: Callable, rtp: Make) -> None:
    caller, callee = phone(), phone()
    for number in range(200):
        session = relay.open("call", "audio")
        assert session is not None
        for side, each in enumerate((caller, callee)):
            each.relay_port = session.ports[side]
            session.set_peer(side, each.address, each.rtcp_address, each.hosts, {})
        for each in (caller, callee):
            each.send(*(rtp(n) for n in range(number % 7)))
        session.close()
    assert relay._place.loop._faults.met == 0
    assert relay.snapshot() == ()


def test_video_runs_beside_audio(call, phone: Callable, rtp: Make) -> None:
    call.talk()
    caller, callee = phone(), phone()
    video: RelaySession | None = call.relay.open("call-1", "video")
    assert video is not None
    for side, each in enumerate((caller, callee)):
        each.relay_port = video.ports[side]
        video.set_peer(side, each.address, each.rtcp_address, each.hosts, {96: ("H264", 90000)})
    caller.send(rtp(1, payload_type=96, payload=b"frame" * 200))
    assert callee.receive() == rtp(1, payload_type=96, payload=b"frame" * 200)
    streams = call.relay.snapshot()
    assert [(stream.kind, stream.side) for stream in streams] == [
        ("audio", 0),
        ("audio", 1),
        ("video", 0),
        ("video", 1),
    ]
    assert (streams[2].codec, streams[2].payload_type) == ("H264", 96)


def test_stop_closes_everything_and_may_be_repeated(call) -> None:
    call.talk()
    thread = call.relay._thread
    call.relay.stop()
    call.relay.stop()
    assert not thread.is_alive()
    assert call.relay.open("call-2", "audio") is None
    assert call.relay.snapshot() == ()
    assert [stream.packets for stream in call.session.close()] == [1, 1]
    for port in call.session.ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("0.0.0.0", port))


def test_a_relay_that_never_started_opens_nothing_and_stops(ports: Callable[[int], int]) -> None:
    first = ports(4)
    relay = RtpRelay("0.0.0.0", first, first + 3)
    assert relay.open("call-1", "audio") is None
    relay.stop()


def test_a_stopped_relay_may_start_again(relay: RtpRelay) -> None:
    relay.stop()
    relay.start()
    assert relay.open("call-1", "audio") is not None


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_and_ipv4_phones_meet(ports: Callable[[int], int], rtp: Make) -> None:
    first = ports(4)
    relay = RtpRelay("::", first, first + 3)
    relay.start()
    try:
        session = relay.open("call-1", "audio")
        if session is None:
            pytest.skip("no IPv6 address can be bound here")
        with (
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as caller,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as callee,
        ):
            caller.bind(("::1", 0))
            callee.bind(("127.0.0.1", 0))
            for side, sock in enumerate((caller, callee)):
                sock.settimeout(10)
                host, port = sock.getsockname()[:2]
                session.set_peer(side, (host, port), (host, port + 1), frozenset({host}), {})
            for number in range(5):
                caller.sendto(rtp(number), ("::1", session.ports[0]))
                assert callee.recv(2000) == rtp(number)
                callee.sendto(rtp(number), ("127.0.0.1", session.ports[1]))
                assert caller.recv(2000) == rtp(number)
        first_stream, second_stream = session.close()
        assert (first_stream.from_address, second_stream.from_address) == ("::1", "127.0.0.1")
    finally:
        relay.stop()


def test_quality_over_time_is_sampled_when_due_and_stands_after_the_end(
    call, rtp: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a stream that a worker copies."""
    assert call.session.quality() == ()
    call.talk()
    call.settle()
    call.relay.sample()
    assert call.session.quality() == ()
    later_s = SPAN_S
    monkeypatch.setattr(call.relay, "_clock", lambda: time.monotonic() + later_s)
    call.relay.sample()
    call.relay.sample()
    for number in (1, 2, 5):
        call.caller.send(rtp(number))
        call.callee.receive()
    call.settle()
    later_s *= 3
    call.relay.sample()
    caller, callee = call.session.quality()
    assert (caller.side, caller.kind, caller.relay_port, caller.codec) == (0, "audio", call.session.ports[0], "PCMU")
    assert [(sample.packets, sample.lost) for sample in caller.samples] == [(1, 0), (3, 2)]
    assert [(sample.packets, sample.mos is None) for sample in callee.samples] == [(1, False), (0, True)]
    call.caller.send(rtp(6))
    call.callee.receive()
    call.session.close()
    call.relay.sample()
    caller, callee = call.session.quality()
    assert [sample.packets for sample in caller.samples] == [1, 3, 1]
    assert [sample.packets for sample in callee.samples] == [1, 0, 0]


def test_headers_are_kept_when_asked_for_and_nothing_is_lent_then(
    ports: Callable[[int], int], new_call: Callable, rtp: Make
) -> None:
    first = ports(40)
    relay = RtpRelay("0.0.0.0", first, first + 39, 1, logs_headers=True)
    relay.start()
    try:
        assert relay.workers_running() == 0
        call = new_call(relay)
        silent = new_call(relay)
        call.talk()
        for number in range(1, 30):
            call.caller.send(rtp(number))
            call.callee.receive()
        call.session.close()
        caller, callee = call.session.headers()
        assert caller.sources[1:] == (call.caller.address,)
        packets = list(RECORD.iter_unpack(caller.records))
        assert [header for *_, header in packets] == [rtp(number)[:12] for number in range(30)]
        assert {(length, source) for _, length, source, _ in packets} == {(172, 1)}
        assert abs(packets[-1][0] + caller.wall_offset_s - time.time()) < 60
        assert len(callee.records) == RECORD.size
        assert silent.session.headers() == ()
    finally:
        relay.stop()


def test_without_being_asked_for_no_headers_are_kept(call) -> None:
    call.talk()
    assert call.session.headers() == ()
