"""Start, stop, start again, several at once: no thread, socket or port is left over, and nobody is left hanging."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from config import ConfigError
from sipserver import SipServer
from tests.support.office import Office, eventually, office_config, server_threads
from tests.support.rtp import free_media_range

DESCRIPTORS = Path("/proc/self/fd")

needs_proc = pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts descriptors in /proc, which Linux alone has")


def descriptors() -> int:
    gc.collect()  # What earlier tests have left must not go meanwhile.
    return sum(1 for _ in DESCRIPTORS.iterdir())


def test_a_stop_hangs_up_on_both_sides(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)

    office.server.stop()

    for side in (call, ring):
        bye = side.wait_ended()
        assert bye.method == "BYE"
        assert "shutting down" in bye["Reason"]


def test_a_stop_hangs_up_over_tcp(office: Office) -> None:
    alice, bob = office.phone("100", transport="TCP"), office.phone("101", transport="TCP")
    call, ring = office.connect(alice, bob)

    office.server.stop()

    assert [side.wait_ended().method for side in (call, ring)] == ["BYE", "BYE"]
    alice.wait(lambda: alice.link.closed_by_server, "the end of the connection")
    bob.wait(lambda: bob.link.closed_by_server, "the end of the connection")


def test_a_stop_ends_a_call_that_rings(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    ring = bob.expect_call()
    ring.ring()
    call.wait_ringing()

    office.server.stop()

    assert call.wait_rejected().status == 480
    assert ring.wait_ended().method == "CANCEL"


def test_a_stop_leaves_no_thread_and_no_port(office: Office) -> None:
    alice, bob = office.phone("100", transport="TCP"), office.phone("101")
    call, ring = office.connect(alice, bob)
    assert call.media.remote is not None
    assert ring.media.remote is not None
    udp_ports = [office.server.sip_port, call.media.remote[1], ring.media.remote[1]]
    udp_ports += [port + 1 for port in udp_ports[1:]]
    tcp_ports = [office.server.sip_port, office.server.api_port]

    office.server.stop()

    assert server_threads() == []
    for port in udp_ports:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            sock.bind(("127.0.0.1", port))
    for port in tcp_ports:
        with closing(socket.socket()) as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0


@needs_proc
def test_a_stop_leaves_no_descriptor(tmp_path: Path) -> None:
    """The first server loads modules and makes what stays for good."""
    Office(office_config(tmp_path / "first")).close()
    before = descriptors()

    office = Office(office_config(tmp_path / "second"))
    office.connect(office.phone("100", transport="TCP"), office.phone("101"))
    assert descriptors() > before
    office.close()

    assert descriptors() == before


def test_a_second_stop_does_nothing(office: Office) -> None:
    office.server.stop()
    office.server.stop()


def test_a_server_that_never_started_can_be_stopped(tmp_path: Path) -> None:
    SipServer(office_config(tmp_path)).stop()

    assert server_threads() == []


def test_a_restart_on_the_same_ports_works_at_once(start_office: Callable[..., Office]) -> None:
    first_port = free_media_range(8)
    media = {"rtp_port": first_port, "rtp_port_max": first_port + 7}
    first = start_office(**media)
    ports = {"sip_port": first.server.sip_port, "api_port": first.server.api_port}
    first.connect(first.phone("100", transport="TCP"), first.phone("101"))
    first.close()

    second = start_office(**ports, **media)

    assert (second.server.sip_port, second.server.api_port) == tuple(ports.values())
    assert second.numbers() == []
    call, ring = second.connect(second.phone("100", transport="TCP"), second.phone("101"))
    packets = call.media.make_packets(3)
    call.media.send(*packets)
    assert [ring.media.receive() for _ in packets] == packets


def test_two_servers_in_one_process_know_nothing_of_each_other(start_office: Callable[..., Office]) -> None:
    here, there = start_office(), start_office()
    assert here.server.sip_port != there.server.sip_port
    alice, bob = here.phones("100", "101")
    carol = there.phone("100")

    assert carol.call("101").wait_rejected().status == 480
    here.connect(alice, bob)

    assert there.api.get("/api/calls") == []
    assert (here.numbers(), there.numbers()) == (["100", "101"], ["100"])
    here.close()
    assert carol.register().status == 200


@pytest.mark.parametrize("name", ["sip_port", "api_port"])
def test_a_port_in_use_is_named_and_nothing_stays_open(office: Office, tmp_path: Path, name: str) -> None:
    taken = getattr(office.server, name)
    before = sorted(server_threads())
    other = SipServer(office_config(tmp_path / "other", **{name: taken}))

    with pytest.raises(ConfigError) as caught:
        other.start()

    assert str(caught.value).startswith(f"{name.upper()}={taken}: ")
    assert "used by another program" in str(caught.value)
    assert sorted(server_threads()) == before


def test_health_follows_the_life_of_the_server(office: Office) -> None:
    assert office.server.health().ready
    assert office.api.request("GET", "/healthz").status == 200

    office.server.stop()

    assert not office.server.health().ready


@needs_proc
def test_many_calls_leave_neither_descriptors_nor_ports(start_office: Callable[..., Office]) -> None:
    """Eight ports are enough for a hundred calls that end in every way, if each gives back its own."""
    first_port = free_media_range(8)
    office = start_office(rtp_port=first_port, rtp_port_max=first_port + 7)
    alice, bob = office.phone("100"), office.phone("101", transport="TCP")

    def one_round() -> None:
        call, ring = office.connect(alice, bob)
        call.media.send(*call.media.make_packets(1))
        ring.media.receive()
        ring.hang_up()
        cancelled = alice.call("101")
        early = bob.expect_call()
        early.progress()
        cancelled.wait_progress()
        cancelled.cancel()
        early.request.wait_ack()
        refused = bob.call("100")
        busy = alice.expect_call()
        busy.reject(486)
        refused.wait_rejected()
        nobody = alice.call("105")
        nobody.wait_rejected()
        for each in (call, ring, cancelled, early, refused, busy, nobody):
            each.media.close()

    one_round()
    assert office.open_streams() == []
    before = descriptors()

    for _ in range(25):
        one_round()

    assert office.open_streams() == []
    # The ports of the range rest open between calls.
    eventually(lambda: descriptors() <= before + 8, "closed sockets")
    assert office.api.request("GET", "/api/calls/history").headers["X-Total-Count"] == "104"
