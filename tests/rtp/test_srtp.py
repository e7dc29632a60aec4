"""rtp/srtp.py, held against the vectors of RFC 3711 appendix B."""

from __future__ import annotations

import pytest

from rtp.srtp import MAX_SOURCES, SrtpError, SrtpStream, derive, keystream
from tests.rtp.conftest import report_block, rtp_packet, sender_report

MASTER_KEY = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
MASTER_SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
MASTER = MASTER_KEY + MASTER_SALT


def pair(tag_length: int = 10) -> tuple[SrtpStream, SrtpStream]:
    """Who sends and who receives."""
    return SrtpStream(MASTER, tag_length), SrtpStream(MASTER, tag_length)


def test_rfc3711_b_2_keystream() -> None:
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    start = int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16)
    blocks = "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0"
    assert keystream(key, start, 48) == bytes.fromhex(blocks)
    later = "EC8CDF7398607CB0F2D21675EA9EA1E4362B7C3C6773516318A077D7FC5073AE6A2CC3787889374FBEB4C81B17BA6C44"
    assert keystream(key, start + 0xFEFF, 48) == bytes.fromhex(later)


def test_rfc3711_b_3_key_derivation() -> None:
    assert derive(MASTER_KEY, MASTER_SALT, 0, 16) == bytes.fromhex("C61E7A93744F39EE10734AFE3FF7A087")
    assert derive(MASTER_KEY, MASTER_SALT, 2, 14) == bytes.fromhex("30CBBC08863D8C85D49DB34A9AE1")
    auth = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE"
    assert derive(MASTER_KEY, MASTER_SALT, 1, 32) == bytes.fromhex(auth)


@pytest.mark.parametrize("tag_length", [10, 4])
def test_what_was_protected_can_be_opened(tag_length: int) -> None:
    sender, receiver = pair(tag_length)
    for number in range(5):
        packet = rtp_packet(number)
        sealed = sender.protect(packet)
        assert len(sealed) == len(packet) + tag_length
        assert sealed[:12] == packet[:12]
        assert sealed[12:172] != packet[12:]
        assert receiver.open(sealed) == packet


def test_3_3_1_sequence_numbers_may_wrap_and_packets_overtake() -> None:
    sender, receiver = pair()
    sealed = {number: sender.protect(rtp_packet(number)) for number in (65_503, 65_533, 65_534, 65_535, 0, 1, 2)}
    for number in (65_533, 65_535, 65_534, 0, 2, 1):
        assert receiver.open(sealed[number]) == rtp_packet(number)
    assert receiver.open(sealed[65_503]) == rtp_packet(65_503)
    for number in range(3, 70_000, 1000):
        assert receiver.open(sender.protect(rtp_packet(number))) == rtp_packet(number)


def test_3_3_2_a_packet_counts_once() -> None:
    sender, receiver = pair()
    first = sender.protect(rtp_packet(1))
    receiver.open(first)
    with pytest.raises(SrtpError, match="before"):
        receiver.open(first)
    late = sender.protect(rtp_packet(2))
    receiver.open(sender.protect(rtp_packet(500)))
    with pytest.raises(SrtpError, match="before"):
        receiver.open(late)


def test_no_keystream_is_used_twice() -> None:
    sender, _ = pair()
    sender.protect(rtp_packet(500))
    for number in (500, 300):
        with pytest.raises(SrtpError):
            sender.protect(rtp_packet(number, payload=b"something else"))
    fresh, _ = pair()
    fresh.protect(rtp_packet(1))
    with pytest.raises(SrtpError):
        fresh.protect(rtp_packet(65_535))


@pytest.mark.parametrize("place", [1, 3, 11, 12, 100, -1])
def test_forged_bits_are_noticed_wherever_they_are(place: int) -> None:
    sender, receiver = pair()
    sealed = bytearray(sender.protect(rtp_packet(1)))
    sealed[place] ^= 1
    with pytest.raises(SrtpError):
        receiver.open(bytes(sealed))
    sealed[place] ^= 1
    assert receiver.open(bytes(sealed)) == rtp_packet(1)


@pytest.mark.parametrize("length", [0, 1, 10, 12, 21])
def test_what_is_too_short_is_refused(length: int) -> None:
    receiver = SrtpStream(MASTER, 10)
    with pytest.raises(SrtpError):
        receiver.open(rtp_packet(1)[:length])
    with pytest.raises(SrtpError):
        receiver.open_rtcp(sender_report(1)[:length])


def test_rtcp_both_ways_and_only_once() -> None:
    sender, receiver = pair(4)
    packet = sender_report(0x1234, blocks=report_block(5))
    sealed = [sender.protect_rtcp(packet) for _ in range(3)]
    assert len(set(sealed)) == 3
    assert sealed[0][:8] == packet[:8]
    assert len(sealed[0]) == len(packet) + 14
    assert [receiver.open_rtcp(each) for each in sealed] == [packet] * 3
    with pytest.raises(SrtpError):
        receiver.open_rtcp(sealed[1])
    with pytest.raises(SrtpError):
        receiver.open_rtcp(sealed[0][:-1] + b"\x00")


def test_another_source_has_numbers_of_its_own() -> None:
    sender, receiver = pair()
    for ssrc in range(2 * MAX_SOURCES):
        packet = rtp_packet(7, ssrc=ssrc)
        assert receiver.open(sender.protect(packet)) == packet
    assert len(receiver._sources) == MAX_SOURCES
