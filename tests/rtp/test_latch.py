"""The rules by which a source is learnt, one test each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtp.latch import LATCH_PACKETS, RtcpLatch, RtpLatch, Verdict
from rtp.packet import PacketKind

HOME = ("192.0.2.1", 4000)
OTHER_PORT = ("192.0.2.1", 61000)
NAT = ("203.0.113.9", 40000)
STRANGER = ("198.51.100.66", 4000)
HOSTS = frozenset({"192.0.2.1", "203.0.113.9"})
RTCP_HOME = ("192.0.2.1", 4001)

Make = Callable[..., bytes]


@pytest.fixture
def latch() -> RtpLatch:
    latch = RtpLatch()
    latch.announce(HOME, HOSTS)
    return latch


@pytest.fixture
def send(latch: RtpLatch, rtp: Make) -> Callable[..., list[Verdict]]:
    def judge(source: tuple[str, int], *numbers: int, ssrc: int = 7) -> list[Verdict]:
        return [latch.judge(source, PacketKind.RTP, rtp(number, ssrc=ssrc)) for number in numbers]

    return judge


Send = Callable[..., list[Verdict]]


def test_announced_address_latches_at_once(latch: RtpLatch, send: Send) -> None:
    assert send(HOME, 1, 2) == [Verdict.LATCHED, Verdict.ACCEPTED]
    assert latch.source == HOME


def test_announced_address_is_for_good(latch: RtpLatch, send: Send) -> None:
    send(HOME, 1)
    assert set(send(OTHER_PORT, *range(50)) + send(NAT, *range(50))) == {Verdict.REJECTED}
    assert latch.source == HOME


@pytest.mark.parametrize("source", [OTHER_PORT, NAT])
def test_other_port_of_a_likely_host_latches_after_consecutive_packets(
    latch: RtpLatch, send: Send, source: tuple[str, int]
) -> None:
    verdicts = send(source, *range(LATCH_PACKETS + 1))
    assert verdicts == [Verdict.UNPROVEN] * (LATCH_PACKETS - 1) + [Verdict.LATCHED, Verdict.ACCEPTED]
    assert latch.source == source


def test_consecutive_across_the_wrap(latch: RtpLatch, send: Send) -> None:
    assert send(NAT, 65534, 65535, 0, 1)[-1] is Verdict.LATCHED


def test_a_gap_starts_the_count_again(latch: RtpLatch, send: Send) -> None:
    assert set(send(NAT, 1, 2, 3, 5, 6, 7)) == {Verdict.UNPROVEN}
    assert send(NAT, 8) == [Verdict.LATCHED]


def test_another_ssrc_starts_the_count_again(latch: RtpLatch, send: Send) -> None:
    assert set(send(NAT, 1, 2, 3) + send(NAT, 4, 5, 6, ssrc=8)) == {Verdict.UNPROVEN}


def test_another_source_starts_the_count_again(latch: RtpLatch, send: Send) -> None:
    assert set(send(NAT, 1, 2, 3) + send(OTHER_PORT, 4) + send(NAT, 4, 5, 6)) == {Verdict.UNPROVEN}


def test_repeating_one_packet_proves_nothing(latch: RtpLatch, send: Send) -> None:
    assert set(send(NAT, *[5] * 50)) == {Verdict.UNPROVEN}
    assert latch.source is None


def test_stranger_is_rejected_before_and_after_the_latch(latch: RtpLatch, send: Send) -> None:
    assert set(send(STRANGER, *range(50))) == {Verdict.REJECTED}
    assert latch.source is None
    send(HOME, 1)
    assert set(send(STRANGER, *range(50))) == {Verdict.REJECTED}


def test_likely_source_gives_way_to_the_announced_address(latch: RtpLatch, send: Send) -> None:
    send(NAT, *range(LATCH_PACKETS))
    assert send(HOME, 1) == [Verdict.LATCHED]
    assert send(NAT, 10) == [Verdict.REJECTED]
    assert latch.source == HOME


def test_likely_source_gives_way_to_no_other_likely_source(latch: RtpLatch, send: Send) -> None:
    send(NAT, *range(LATCH_PACKETS))
    assert set(send(OTHER_PORT, *range(50))) == {Verdict.REJECTED}


@pytest.mark.parametrize("kind", [PacketKind.STUN, PacketKind.DTLS, PacketKind.ZRTP, PacketKind.RTCP])
def test_only_rtp_latches(latch: RtpLatch, send: Send, kind: PacketKind) -> None:
    assert {latch.judge(HOME, kind, bytes(40)) for _ in range(10)} == {Verdict.ACCEPTED}
    assert {latch.judge(NAT, kind, bytes(40)) for _ in range(10)} == {Verdict.REJECTED}
    assert latch.source is None
    send(NAT, *range(LATCH_PACKETS))
    assert latch.judge(NAT, kind, bytes(40)) is Verdict.ACCEPTED
    assert latch.judge(STRANGER, kind, bytes(40)) is Verdict.REJECTED


def test_unknown_packets_are_rejected_even_from_the_source(latch: RtpLatch, send: Send) -> None:
    send(HOME, 1)
    assert latch.judge(HOME, PacketKind.UNKNOWN, b"junk") is Verdict.REJECTED


def test_malformed_rtp_does_not_latch(latch: RtpLatch, rtp: Make) -> None:
    cut_off = b"\x8f" + rtp(1, payload=b"")[1:]  # fifteen CSRCs promised
    assert latch.judge(HOME, PacketKind.RTP, cut_off) is Verdict.REJECTED
    assert {latch.judge(NAT, PacketKind.RTP, cut_off) for _ in range(10)} == {Verdict.REJECTED}
    assert latch.source is None


def test_same_description_again_changes_nothing(latch: RtpLatch, send: Send) -> None:
    send(NAT, *range(LATCH_PACKETS))
    assert latch.announce(HOME, HOSTS) is False
    assert latch.source == NAT


@pytest.mark.parametrize(
    ("address", "hosts"), [(("192.0.2.1", 5000), HOSTS), (HOME, frozenset({"192.0.2.1"}))], ids=["address", "hosts"]
)
def test_another_address_or_other_hosts_are_learnt_anew(
    latch: RtpLatch, send: Send, address: tuple[str, int], hosts: frozenset[str]
) -> None:
    send(HOME, 1)
    assert latch.announce(address, hosts) is True
    assert latch.source is None
    assert latch.judge(address, PacketKind.STUN, bytes(20)) is Verdict.ACCEPTED


def test_hold_and_resume_keep_the_source(latch: RtpLatch, send: Send) -> None:
    send(NAT, *range(LATCH_PACKETS))
    assert latch.announce(None, HOSTS) is False
    assert latch.source == NAT
    assert latch.announce(HOME, HOSTS) is False
    assert latch.source == NAT


def test_resume_elsewhere_is_learnt_anew(latch: RtpLatch, send: Send) -> None:
    send(HOME, 1)
    latch.announce(None, HOSTS)
    assert latch.announce(("192.0.2.1", 5000), HOSTS) is True


def test_a_side_on_hold_may_still_be_learnt(rtp: Make) -> None:
    latch = RtpLatch()
    latch.announce(None, HOSTS)
    verdicts = [latch.judge(NAT, PacketKind.RTP, rtp(number)) for number in range(LATCH_PACKETS)]
    assert verdicts[-1] is Verdict.LATCHED


def test_nobody_is_heard_before_anything_is_announced(rtp: Make) -> None:
    latch = RtpLatch()
    assert {latch.judge(HOME, PacketKind.RTP, rtp(number)) for number in range(10)} == {Verdict.REJECTED}


@pytest.fixture
def rtcp_latch() -> RtcpLatch:
    latch = RtcpLatch()
    latch.announce(RTCP_HOME)
    return latch


def test_rtcp_from_the_announced_address_latches(rtcp_latch: RtcpLatch) -> None:
    assert rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, None) is Verdict.LATCHED
    assert rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, None) is Verdict.ACCEPTED


def test_rtcp_follows_the_host_rtp_was_learnt_from(rtcp_latch: RtcpLatch) -> None:
    source = ("203.0.113.9", 40007)
    assert rtcp_latch.judge(source, PacketKind.RTCP, None) is Verdict.REJECTED
    assert rtcp_latch.judge(source, PacketKind.RTCP, HOME) is Verdict.REJECTED
    assert rtcp_latch.judge(source, PacketKind.RTCP, NAT) is Verdict.LATCHED
    assert rtcp_latch.judge(("203.0.113.9", 40008), PacketKind.RTCP, NAT) is Verdict.REJECTED


def test_rtcp_likely_source_gives_way_to_the_announced_address(rtcp_latch: RtcpLatch) -> None:
    rtcp_latch.judge(("203.0.113.9", 40007), PacketKind.RTCP, NAT)
    assert rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, NAT) is Verdict.LATCHED


def test_rtcp_leaves_the_host_that_rtp_has_left(rtcp_latch: RtcpLatch) -> None:
    rtcp_latch.judge(("203.0.113.9", 40007), PacketKind.RTCP, NAT)
    rtcp_latch.follow(HOME)
    assert rtcp_latch.source is None


def test_rtcp_from_the_announced_address_stays_wherever_rtp_comes_from(rtcp_latch: RtcpLatch) -> None:
    rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, None)
    rtcp_latch.follow(NAT)
    assert rtcp_latch.source == RTCP_HOME


def test_rtcp_new_address_is_learnt_anew_and_hold_is_no_move(rtcp_latch: RtcpLatch) -> None:
    rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, None)
    rtcp_latch.announce(None)
    assert rtcp_latch.source == RTCP_HOME
    rtcp_latch.announce(("192.0.2.1", 5001))
    assert rtcp_latch.source is None


@pytest.mark.parametrize("kind", [PacketKind.RTP, PacketKind.UNKNOWN])
def test_rtcp_port_takes_no_rtp_and_no_junk(rtcp_latch: RtcpLatch, kind: PacketKind) -> None:
    rtcp_latch.judge(RTCP_HOME, PacketKind.RTCP, None)
    assert rtcp_latch.judge(RTCP_HOME, kind, HOME) is Verdict.REJECTED


@pytest.mark.parametrize("kind", [PacketKind.STUN, PacketKind.DTLS])
def test_rtcp_port_passes_stun_and_dtls_of_the_source_only(rtcp_latch: RtcpLatch, kind: PacketKind) -> None:
    assert rtcp_latch.judge(RTCP_HOME, kind, None) is Verdict.ACCEPTED
    assert rtcp_latch.judge(("192.0.2.1", 4003), kind, HOME) is Verdict.REJECTED
    assert rtcp_latch.source is None
