"""Whose packets are taken: symmetric RTP (RFC 4961) that only learns what signalling makes likely. Pure.

Relay thread only. A latch knows the address a side announced in its session description and the hosts its packets may
come from. A packet from exactly the announced address settles the matter for good. A packet from another port of those
hosts (a NAT, a phone that sends from a port of its own) has to be the last of LATCH_PACKETS consecutive ones of one
source, and gives way should the announced address turn up after all. Nobody else is ever listened to.
"""

from __future__ import annotations

from enum import Enum

from rtp.packet import Buffer, PacketKind, RtpError, RtpHeader

Address = tuple[str, int]
"""IP address as text, port."""

LATCH_PACKETS = 4


class Verdict(Enum):
    """What becomes of a packet: passed on; passed on and its source learnt; not yet trusted; foreign."""

    ACCEPTED = "accepted"
    LATCHED = "latched"
    UNPROVEN = "unproven"
    REJECTED = "rejected"


class RtpLatch:
    """The source of one side's RTP: `source` is None until learnt; once it equals `announced` it stays."""

    __slots__ = ("_home", "_run", "announced", "hosts", "source")

    def __init__(self) -> None:
        self.announced: Address | None = None
        self.hosts: frozenset[str] = frozenset()
        self.source: Address | None = None
        self._home: Address | None = None  # the address last announced, kept while the side is on hold
        self._run: tuple[Address, int, int, int] | None = None  # source, SSRC, next sequence number, packets so far

    def announce(self, announced: Address | None, hosts: frozenset[str]) -> bool:
        """Take what the side's session description says; True when the source has to be learnt anew.

        No address at all (hold with c=0.0.0.0, a rejected stream) is no move: what was learnt stays.
        """
        has_moved = hosts != self.hosts or (announced is not None and announced != self._home)
        self.announced = announced
        self.hosts = hosts
        if announced is not None:
            self._home = announced
        if not has_moved:
            return False
        had_source = self.source is not None
        self.source = None
        self._run = None
        return had_source

    def judge(self, source: Address, kind: PacketKind, packet: Buffer) -> Verdict:
        """Verdict on a packet from `source`; learns the source as a side effect. Only RTP can teach it anything."""
        if kind is PacketKind.UNKNOWN:
            return Verdict.REJECTED
        if source == self.source:
            return Verdict.ACCEPTED
        if source == self.announced:
            if kind is PacketKind.RTP:
                return self._learn_exact(source, packet)
            return Verdict.ACCEPTED
        if self.source is not None or kind is not PacketKind.RTP or source[0] not in self.hosts:
            return Verdict.REJECTED
        return self._prove(source, packet)

    def _learn_exact(self, source: Address, packet: Buffer) -> Verdict:
        try:
            RtpHeader.parse(packet)
        except RtpError:
            return Verdict.REJECTED
        self.source = source
        self._run = None
        return Verdict.LATCHED

    def _prove(self, source: Address, packet: Buffer) -> Verdict:
        """One more packet of a likely source: consecutive numbers and one SSRC, like the probation of RFC 3550 A.1."""
        try:
            header = RtpHeader.parse(packet)
        except RtpError:
            return Verdict.REJECTED
        count = 1
        if self._run is not None and self._run[:3] == (source, header.ssrc, header.sequence_number):
            count += self._run[3]
        if count < LATCH_PACKETS:
            self._run = (source, header.ssrc, (header.sequence_number + 1) & 0xFFFF, count)
            return Verdict.UNPROVEN
        self.source = source
        self._run = None
        return Verdict.LATCHED


class RtcpLatch:
    """The source of one side's RTCP: the announced address, or any port of the host its RTP was learnt from."""

    __slots__ = ("announced", "source")

    def __init__(self) -> None:
        self.announced: Address | None = None
        self.source: Address | None = None

    def announce(self, announced: Address | None) -> None:
        """Take what the session description says; another address is learnt anew, none at all is no move."""
        if announced is not None and announced != self.announced:
            self.source = None
        self.announced = announced

    def forget(self) -> None:
        """Learn anew: the side's RTP has moved."""
        self.source = None

    def follow(self, rtp_source: Address) -> None:
        """The side's RTP was learnt: an RTCP source on another host that was not announced is not its."""
        if self.source is not None and self.source != self.announced and self.source[0] != rtp_source[0]:
            self.source = None

    def judge(self, source: Address, kind: PacketKind, rtp_source: Address | None) -> Verdict:
        """Verdict on a packet at the RTCP port; RTP has no business there."""
        if kind in (PacketKind.UNKNOWN, PacketKind.RTP):
            return Verdict.REJECTED
        if source == self.source:
            return Verdict.ACCEPTED
        follows_rtp = self.source is None and rtp_source is not None and source[0] == rtp_source[0]
        if kind is PacketKind.RTCP and (source == self.announced or follows_rtp):
            self.source = source
            return Verdict.LATCHED
        return Verdict.ACCEPTED if source == self.announced else Verdict.REJECTED
