"""A session before its first packet, which is all that most sessions ever are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtp.relay import RtpRelay

Make = Callable[..., bytes]


def test_a_session_without_media_costs_the_relay_thread_nothing(
    relay: RtpRelay, new_call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_call(relay).session.close()  # ports are bound for the first one
    assert relay._place is not None
    loop = relay._place.loop
    monkeypatch.setattr(loop, "post", lambda *_args, **_more: pytest.fail("the thread is disturbed"))
    monkeypatch.setattr(loop, "add", lambda *_args: pytest.fail("sockets are added"))
    for _ in range(20):
        new_call(relay).session.close()
    monkeypatch.undo()


def test_its_figures_name_ports_and_addresses(call) -> None:
    first, second = call.session.figures()
    assert (first.relay_port, second.relay_port) == call.session.ports
    assert (first.from_address, first.from_port) == (second.to_address, second.to_port) == call.caller.address
    assert (second.from_address, second.from_port) == (first.to_address, first.to_port) == call.callee.address
    assert (first.packets, first.active, first.mos, first.codec) == (0, False, None, None)
    assert [pulse.heard_at for pulse in call.session.pulses()] == [None, None]
    assert call.session.drain_events() == []


def test_nothing_is_known_before_anything_was_said(unannounced_call) -> None:
    first, second = unannounced_call.session.close()
    assert {first.from_address, first.to_port, second.from_port, second.to_address} == {None}
    assert (first.call_id, first.kind, first.side, second.side) == ("call-1", "audio", 0, 1)


def test_its_figures_are_those_a_session_with_one_packet_starts_from(call, rtp: Make) -> None:
    silent = call.session.figures()[1]
    call.caller.send(rtp(1))
    call.callee.receive()
    assert call.session.figures()[1] == silent


def test_the_last_description_before_the_first_packet_counts(call, phone: Callable, rtp: Make) -> None:
    moved = phone("127.0.0.9")
    moved.relay_port = call.callee.relay_port
    call.session.set_peer(1, None, None, call.callee.hosts, {})
    call.session.set_peer(1, moved.address, moved.rtcp_address, moved.hosts, {8: ("PCMA", 8000)})
    call.caller.send(rtp(1))
    assert moved.receive() == rtp(1)


def test_a_packet_that_comes_with_the_end_wakes_nothing(call, rtp: Make) -> None:
    wake_up = call.session._wake_up
    final = call.session.close()
    call.caller.send(rtp(1))
    call.settle(0)
    call.relay._place.loop.post(lambda: wake_up(5.0))
    call.settle(0)
    assert call.session.close() is final
    assert call.relay._place.loop._faults.met == 0
