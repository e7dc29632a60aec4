"""SIPp plays a recorded call through the relay: every packet arrives as it was sent, and comes back when echoed."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.interop.exchange import Exchange
from tests.interop.programs import LIMIT_S
from tests.interop.sipp import SippPhone
from tests.interop.tone import rtp_packets, tone, write_pcap

Sipp = Callable[..., SippPhone]

PACKETS = rtp_packets(tone(440, 1.0))
"""One second: 50 packets."""

CALL_MS = "1500"


def may_send_raw() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except OSError:
        return False
    return True


pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not may_send_raw(), reason="SIPp plays captures through a raw socket, which takes root"),
]


@pytest.fixture
def caller(sipp: Sipp) -> SippPhone:
    """A registered phone that finds its capture file."""
    caller = sipp("100")
    write_pcap(caller.directory / "tone.pcap", PACKETS)
    caller.register()
    return caller


def test_audio_arrives_as_it_was_sent(exchange: Exchange, sipp: Sipp, caller: SippPhone) -> None:
    callee = sipp("101")
    callee.register()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(LIMIT_S)
        answering = callee.listen("uas_answer.xml", heard_at=ear.getsockname()[1])
        calling = caller.start("uac_audio.xml", "-d", CALL_MS, to="101")
        heard = [ear.recvfrom(65536) for _ in PACKETS]
        caller.finish(calling)
        callee.finish(answering)

    assert [packet for packet, _ in heard] == PACKETS
    [source] = {address for _, address in heard}
    assert source[1] in exchange.media_ports
    exchange.assert_idle()


def test_echoed_audio_comes_back(exchange: Exchange, sipp: Sipp, caller: SippPhone) -> None:
    callee = sipp("101")
    callee.register()
    answering = callee.listen("uas_answer.xml", "-rtp_echo")
    caller.play("uac_audio.xml", "-d", CALL_MS, to="101")
    callee.finish(answering)

    exchange.assert_idle()
    carried = exchange.get("/api/statistics")["rtp"]
    assert carried["packets"] == 2 * len(PACKETS)
    assert carried["bytes"] == 2 * sum(map(len, PACKETS))
    assert carried["lost"] == 0
