"""Sound: whether strangers can put theirs into a call, or have that of a call sent to them (RTP Bleed).

One thread, that of the command.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from commands.selftest.line import Address
from commands.selftest.scene import Scene
from commands.selftest.trial_call import NoCall, TrialPhone, trial_call
from commands.selftest.verdict import Finding, Level
from sip.addresses import family_of
from sip.credentials import PasswordDigests

MAX_SPRAYED = 250
"""Ports of the media range that are tried without a call."""
MAX_INJECTED = 4
"""Foreign packets that may come through in a call: as few as nobody hears."""

_SHOTS = 60
"""Foreign packets for each port of the call, before the phones speak and while they do."""
_SPOKEN = 10
_QUIET_S = 0.3
_DRAIN_S = 3.0
_SAMPLES = 160
_HEADER = struct.Struct("!BBHII")


def check(scene: Scene, known: Mapping[str, PasswordDigests]) -> Iterator[Finding]:
    """`known`: digests of passwords, for a call between numbers that need one."""
    if scene.calls:
        why = f"There are calls in progress ({scene.calls}), which must not be disturbed. Try again later."
        yield Finding("media-ports", Level.SKIPPED, "Media ports were left alone", why)
        yield Finding("media-injection", Level.SKIPPED, "No call was tried", why)
        return
    yield _idle_ports(scene)
    yield _injection(scene, known)


# ------------------------------------------------------------------------------------------------ without a call


def _idle_ports(scene: Scene) -> Finding:
    if not scene.config.rtp_port:
        return _ports_skipped("RTP_PORT=0: calls take any free ports, so there is no range to look at.")
    if scene.calls is None:
        return _ports_skipped("The API did not say whether anybody is on the phone.")
    first, last = scene.config.rtp_port, scene.config.rtp_port_max
    ports = range(first, last + 1, max(1, (last + 1 - first) // MAX_SPRAYED))
    with Stranger(scene, scene.outside or scene.inside) as stranger:
        for port in ports:
            stranger.shoot(Address(scene.server.host, port), 1)
        answering = sorted({port for _, port in stranger.heard(_QUIET_S)})
    if answering:
        return Finding(
            "media-ports",
            Level.DANGER,
            "Media ports answer without a call",
            f"Sound sent to ports {', '.join(map(str, answering[:10]))} was answered, although nobody is on the phone.",
            "Look which program has these ports, or choose another range by RTP_PORT and RTP_PORT_MAX.",
        )
    return Finding(
        "media-ports",
        Level.OK,
        "Media ports are silent without a call",
        f"Sound sent to {len(ports)} ports from {first} to {last} was not answered.",
    )


def _ports_skipped(why: str) -> Finding:
    return Finding("media-ports", Level.SKIPPED, "Media ports could not be looked at", why)


# ------------------------------------------------------------------------------------------------ in a call


@dataclass(frozen=True, slots=True)
class Outcome:
    """Packets: of the stranger that a phone received, of the phones that the stranger received, of the phones that
    reached each other."""

    injected: int
    diverted: int
    spoken: int


def _injection(scene: Scene, known: Mapping[str, PasswordDigests]) -> Finding:
    numbers = _callable_numbers(scene, known)
    if numbers is None:
        return _skipped(_why_no_numbers(scene))
    source = scene.inside or scene.outside
    try:
        with trial_call(scene, source, numbers, known) as phones:
            outcome = _attack(scene, source, *phones)
    except NoCall as why:
        return _skipped(str(why))
    return judge(outcome)


def _skipped(why: str) -> Finding:
    return Finding("media-injection", Level.SKIPPED, "No call was tried", why)


def judge(outcome: Outcome) -> Finding:
    if outcome.diverted or outcome.injected > MAX_INJECTED:
        return Finding(
            "media-injection",
            Level.DANGER,
            "Strangers can get into calls",
            f"In a call of this test {outcome.injected} foreign packets were heard, and {outcome.diverted} of the "
            "phones' own were sent to the stranger: calls can be overheard, or spoken into.",
            "Report it as SECURITY.md says; until it is mended, use phones with SRTP.",
        )
    if not outcome.spoken:
        return Finding(
            "media-injection",
            Level.WARNING,
            "A call had no sound",
            "In a call of this test not even the phones heard each other, so it says nothing about strangers.",
            "See to it that the firewall lets the media range in (RTP_PORT to RTP_PORT_MAX).",
        )
    return Finding(
        "media-injection",
        Level.OK,
        "Strangers can't get into calls",
        f"In a call of this test {4 * _SHOTS} foreign packets were sent to its ports: {outcome.injected} were heard, "
        "and nothing was sent to the stranger. The call stands in the history.",
    )


def _callable_numbers(scene: Scene, known: Mapping[str, PasswordDigests]) -> tuple[str, str] | None:
    """Two that no phone has: with a password that is known here, or from a network where they need none."""
    needs_password = scene.config.auth_required or not scene.inside
    fit = [number for number in scene.free_numbers() if number in known or not needs_password]
    return (fit[1], fit[0]) if len(fit) > 1 else None


def _why_no_numbers(scene: Scene) -> str:
    if scene.live is None:
        return "The API did not say which numbers are in use, and no phone must be disturbed."
    if len(scene.free_numbers()) < 2:
        return "It takes two numbers without a phone, and no phone must be disturbed."
    return "It takes two numbers without a phone whose passwords can be read here."


def _attack(scene: Scene, source: str, caller: TrialPhone, callee: TrialPhone) -> Outcome:
    """From an address that is not the phones' if there is one, before they speak and while they do.

    From their own address only while they do: until then it might be a router of theirs (RFC 4961).
    """
    assert caller.relay is not None and callee.relay is not None
    foreign = next((host for host in (scene.outside, *_NEIGHBOURS) if host and _can_shoot(scene, host, source)), "")
    targets = (caller.relay, callee.relay)
    with Stranger(scene, foreign or source) as stranger:
        if foreign:
            for target in targets:
                stranger.shoot(target, _SHOTS)
        voices = _Voice(caller), _Voice(callee)
        _converse(*voices)
        for target in targets:
            stranger.shoot(target, _SHOTS if foreign else 2 * _SHOTS)
        _converse(*voices)
        # Whatever was sent to the stranger or let through has time to arrive.
        diverted = len(stranger.heard(_QUIET_S))
    injected = sum(voice.count(stranger.mark) for voice in voices)
    spoken = voices[0].count(voices[1].mark) + voices[1].count(voices[0].mark)
    return Outcome(injected, diverted, spoken)


_NEIGHBOURS = ("127.0.0.1", "127.0.0.2")
"""Addresses that a machine may have beside the one its phones are at."""


def _can_shoot(scene: Scene, host: str, source: str) -> bool:
    if host == source or (":" in host) != (":" in scene.server.host):
        return False
    try:
        Stranger(scene, host).close()
    except OSError:
        return False
    return True


class Stranger:
    """A socket that belongs to no call.  `mark` is in each of its packets."""

    def __init__(self, scene: Scene, host: str) -> None:
        """Raises `OSError`."""
        self.mark = secrets.token_bytes(_SAMPLES)
        self._ssrc = secrets.randbits(32)
        self._next = secrets.randbits(15)
        self._socket = socket.socket(family_of(scene.server.host), socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, 0))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def shoot(self, target: Address, count: int) -> None:
        """So many packets of one stream, in order: what a latch would take for a phone."""
        for _ in range(count):
            self._next = (self._next + 1) & 0xFFFF
            packet = _HEADER.pack(0x80, 0, self._next, self._next * _SAMPLES, self._ssrc) + self.mark
            try:
                self._socket.sendto(packet, target)
            except OSError:
                return

    def heard(self, quiet_s: float) -> list[Address]:
        """Who has sent something here, once for each packet."""
        return [source for _, source in _drain(self._socket, quiet_s)]


class _Voice:
    """One phone's stream."""

    def __init__(self, phone: TrialPhone) -> None:
        self.phone = phone
        self.mark = secrets.token_bytes(_SAMPLES)
        self._ssrc = secrets.randbits(32)
        self.said = 0
        """Packets sent."""
        self._received: list[bytes] = []

    def say(self) -> None:
        assert self.phone.relay is not None
        self.said += 1
        packet = _HEADER.pack(0x80, 0, self.said, self.said * _SAMPLES, self._ssrc) + self.mark
        self.phone.media.sendto(packet, self.phone.relay)

    def count(self, mark: bytes) -> int:
        """Packets with that mark received so far."""
        self._received += [data for data, _ in _drain(self.phone.media, 0.0)]
        return sum(mark in data for data in self._received)

    def listen(self, mark: bytes, wanted: int) -> None:
        """Wait for so many packets with that mark, or for silence."""
        while self.count(mark) < wanted and select.select([self.phone.media], [], [], _QUIET_S)[0]:
            pass


def _converse(one: _Voice, other: _Voice) -> None:
    """Both speak, and hear each other if they can."""
    for _ in range(_SPOKEN):
        one.say()
        other.say()
    one.listen(other.mark, other.said)
    other.listen(one.mark, one.said)


def _drain(sock: socket.socket, quiet_s: float) -> list[tuple[bytes, Address]]:
    """Everything that comes until nothing has come for so long, within `_DRAIN_S`."""
    found: list[tuple[bytes, Address]] = []
    deadline = time.monotonic() + _DRAIN_S
    while time.monotonic() < deadline and select.select([sock], [], [], quiet_s)[0]:
        try:
            data, source = sock.recvfrom(65_535)
        except OSError:
            continue  # Windows: an earlier packet found nobody.
        found.append((data, Address(source[0], source[1])))
    return found
