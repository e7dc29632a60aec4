"""A server that stands in two networks, and one whose address changes: each phone is told the address by which it
reaches the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sip.snapshots import CallState
from sipserver import SipServer
from tests.support.namespaces import Host, missing
from tests.support.office import eventually, office_config
from tests.support.phone import SoftPhone
from tests.support.phone_call import OutgoingCall

_MISSING = missing()

pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

LEFT_SERVER, LEFT_PHONE, LEFT_SERVER_LATER = "10.77.1.1", "10.77.1.2", "10.77.1.9"
RIGHT_SERVER, RIGHT_PHONE = "10.77.2.1", "10.77.2.2"


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host, Host]]:
    """The server, a phone on its left and a phone on its right; the phones can't reach each other."""
    with ExitStack() as stack:
        made = []
        for name in ("srv", "lft", "rgt"):
            made.append(Host(name))
            stack.callback(made[-1].close)
        server, left, right = made
        server.cable(left, LEFT_SERVER, LEFT_PHONE)
        server.cable(right, RIGHT_SERVER, RIGHT_PHONE)
        yield server, left, right


def test_phones_in_two_networks_talk_through_the_server(hosts: tuple[Host, Host, Host], tmp_path: Path) -> None:
    server_host, left, right = hosts
    config = office_config(tmp_path, sip_host="0.0.0.0", rtp_host="0.0.0.0")
    with ExitStack() as stack:
        server = SipServer(config)
        server_host.run(server.start)
        stack.callback(lambda: server_host.run(server.stop))
        alice = left.run(lambda: SoftPhone(server, "100", host=LEFT_PHONE, server_host=LEFT_SERVER))
        stack.callback(alice.close)
        bob = right.run(lambda: SoftPhone(server, "101", host=RIGHT_PHONE, server_host=RIGHT_SERVER))
        stack.callback(bob.close)
        alice.register()
        bob.register()

        call = left.run(lambda: alice.call("101"))
        ring = bob.expect_call()
        ring.answer()
        call.wait_answered()

        assert ring.media.remote is not None
        assert call.media.remote is not None
        assert (call.media.remote[0], ring.media.remote[0]) == (LEFT_SERVER, RIGHT_SERVER)
        for talker, listener in ((call, ring), (ring, call)):
            packets = talker.media.make_packets(5)
            talker.media.send(*packets)
            assert [listener.media.receive() for _ in packets] == packets
        assert [each.state for each in server.calls()] == [CallState.ESTABLISHED]

        ring.hang_up()
        call.wait_ended()
        eventually(lambda: not server.calls(), "the end of the call")


class Moving:
    """A server whose address changes, and phones beside it."""

    def __init__(self, stack: ExitStack, host: Host, near: Host, directory: Path) -> None:
        self.host = host
        self.server = SipServer(office_config(directory, sip_host="0.0.0.0", rtp_host="0.0.0.0", media_timeout=1.0))
        self._stack, self._near = stack, near
        host.run(self.server.start)
        stack.callback(lambda: host.run(self.server.stop))

    def phone(self, number: str, server_host: str, **options: Any) -> SoftPhone:
        phone = self._near.run(
            lambda: SoftPhone(self.server, number, host=LEFT_PHONE, server_host=server_host, **options)
        )
        self._stack.callback(phone.close)
        return phone

    def call(self, caller: SoftPhone, number: str) -> OutgoingCall:
        return self._near.run(lambda: caller.call(number))

    def tells(self, number: str) -> str:
        """The address that the devices of this number are told."""
        (told,) = {each.flow.local_host for each in self.server._engine._core._exchange.location.bindings(number)}
        return told


@pytest.fixture
def moving(hosts: tuple[Host, Host, Host], tmp_path: Path) -> Iterator[Moving]:
    with ExitStack() as stack:
        yield Moving(stack, hosts[0], hosts[1], tmp_path)


def test_a_new_address_is_used_for_new_calls_and_old_ones_end(moving: Moving, caplog: pytest.LogCaptureFixture) -> None:
    """The phone that is called has noticed nothing, and registers for an hour."""
    bob, carol = moving.phone("101", LEFT_SERVER), moving.phone("102", LEFT_SERVER)
    bob.register()
    carol.register()
    old = moving.call(carol, "101")
    old_ring = bob.expect_call()
    old_ring.answer()
    old.wait_answered()

    moving.host.move(LEFT_SERVER, LEFT_SERVER_LATER)
    eventually(lambda: moving.tells("101") == LEFT_SERVER_LATER, "the new address")

    alice = moving.phone("100", LEFT_SERVER_LATER)
    alice.register()
    call = moving.call(alice, "101")
    ring = bob.expect_call()
    ring.answer()
    call.wait_answered()
    invite = bob.messages("received", "INVITE")[-1]
    assert LEFT_SERVER_LATER in invite["Via"]
    assert LEFT_SERVER_LATER in invite["Record-Route"]
    assert call.media.remote is not None
    assert ring.media.remote is not None
    assert {call.media.remote[0], ring.media.remote[0]} == {LEFT_SERVER_LATER}
    for talker, listener in ((call, ring), (ring, call)):
        packets = talker.media.make_packets(3)
        talker.media.send(*packets)
        assert [listener.media.receive() for _ in packets] == packets

    # The call over the address that is gone is as silent as one whose phones have lost their network.
    old.wait_ended()
    old_ring.wait_ended()
    assert "2 phones that reached the server at 10.77.1.1 find it at 10.77.1.9 now" in caplog.text


def test_a_second_address_disturbs_nobody(moving: Moving) -> None:
    alice, bob = moving.phone("100", LEFT_SERVER), moving.phone("101", LEFT_SERVER)
    alice.register()
    bob.register()
    call = moving.call(alice, "101")
    ring = bob.expect_call()
    ring.answer()
    call.wait_answered()
    moving.host.move("", LEFT_SERVER_LATER)
    late = moving.phone("102", LEFT_SERVER_LATER)
    late.register()
    assert moving.tells("101") == LEFT_SERVER
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets
    call.hang_up()
    ring.wait_ended()


def test_a_connection_to_an_address_that_is_gone_is_closed(moving: Moving) -> None:
    phone = moving.phone("100", LEFT_SERVER, transport="TCP")
    phone.register()
    assert moving.server.internals().connections["tcp"] == 1
    moving.host.move(LEFT_SERVER, LEFT_SERVER_LATER)
    eventually(lambda: not moving.server.internals().connections["tcp"], "the end of the connection")
    again = moving.phone("100", LEFT_SERVER_LATER, transport="TCP")
    again.register()
