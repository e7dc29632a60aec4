"""A server that stands in two networks: each phone is told the address by which it reaches the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sip.snapshots import CallState
from sipserver import SipServer
from tests.support.namespaces import Host, missing
from tests.support.office import eventually, office_config
from tests.support.phone import SoftPhone

_MISSING = missing()

pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

LEFT_SERVER, LEFT_PHONE = "10.77.1.1", "10.77.1.2"
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
