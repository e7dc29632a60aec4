"""Captures of calls, byte by byte and as tshark reads them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

from sip.flow import Flow
from sip.trace import HEADER_RECORD, CallTrace, RtpHeaders
from tests.support.dialogues import ALICE, BEGAN_AT, DESK, INVITE, MOBILE, make_trace, received, sent, sip
from tests.support.tshark import read_capture
from tracing.pcap import capture as capture_with

TLS = Flow("TLS", "192.168.1.2", 5061, "192.168.1.13", 40000, 4)
V6 = Flow("UDP", "2001:db8::1", 5060, "2001:db8::5", 5060)
WIRE = ("frame.time_epoch", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
PORTS = ("udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport")
SIP = ("sip.Method", "sip.Status-Code", "sip.CSeq", "sip.Call-ID")


def capture(trace: CallTrace, route_source: Callable[[str], str] = lambda _host: "") -> bytes:
    return capture_with(trace, route_source)


def records(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Seconds, microseconds, length on the wire, and bytes of every packet."""
    assert struct.unpack("<IHHiIII", data[:24]) == (0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101)
    place = 24
    while place < len(data):
        seconds, microseconds, kept, length = struct.unpack_from("<IIII", data, place)
        yield seconds, microseconds, length, data[place + 16 : place + 16 + kept]
        place += 16 + kept


def test_a_datagram_byte_by_byte() -> None:
    ((seconds, microseconds, length, packet),) = records(capture(make_trace(received(0.000123, ALICE, b"OPTIONS"))))
    assert (seconds, microseconds) == (int(BEGAN_AT), 250_123)
    assert length == len(packet) == 20 + 8 + 7
    assert packet.hex(" ", -4) == (
        "45000023 00004000 4011b76d c0a8010a c0a80102"  # IPv4 from 192.168.1.10 to 192.168.1.2
        " 13c613c4 000f0f01 4f505449 4f4e53"  # UDP from 5062 to 5060
    )


def test_every_message_of_a_call_is_sip_to_wireshark(tmp_path: Path) -> None:
    """With addresses, ports and times as they were; nothing is wrong with any packet."""
    rows = read_capture(capture(make_trace()), tmp_path, *WIRE[:3], *PORTS, *SIP)
    server, alice, desk, mobile = (f"192.168.1.{number}" for number in (2, 10, 11, 12))
    udp = {alice: "5062", desk: "5060"}

    def row(offset: str, source: str, target: str, *what: str) -> list[str]:
        phone = source if target == server else target
        ports = [udp.get(phone, "49152"), "5060"] if source == phone else ["5060", udp.get(phone, "49152")]
        return [offset, source, target, *(["", "", *ports] if phone == mobile else [*ports, "", ""]), *what, "call-1"]

    assert [[f"{float(row[0]) - BEGAN_AT:.4f}", *row[1:-1]] for row in rows] == [
        row("0.0000", alice, server, "INVITE", "", "1 INVITE"),
        row("0.0005", server, alice, "", "100", "1 INVITE"),
        row("0.0010", server, desk, "INVITE", "", "1 INVITE"),
        row("0.0010", server, mobile, "INVITE", "", "1 INVITE"),
        row("0.2000", desk, server, "", "180", "1 INVITE"),
        row("0.2000", server, alice, "", "180", "1 INVITE"),
        row("0.5010", server, desk, "INVITE", "", "1 INVITE"),
        row("3.0000", mobile, server, "", "200", "1 INVITE"),
        row("3.0000", server, alice, "", "200", "1 INVITE"),
        row("3.0000", server, desk, "CANCEL", "", "1 CANCEL"),
        row("3.0100", desk, server, "", "487", "1 INVITE"),
        row("3.0500", alice, server, "ACK", "", "1 ACK"),
        row("63.0000", alice, server, "BYE", "", "2 BYE"),
    ]
    assert {row[-1] for row in rows} <= {""}


def test_ipv6_tls_and_long_messages_too(tmp_path: Path) -> None:
    long = sip("MESSAGE sip:101@192.168.1.2 SIP/2.0", cseq="9 MESSAGE", body="v=0\r\na=" + "x" * 60_000)
    entries = [
        received(0.0, V6, INVITE),
        received(0.1, TLS, INVITE),
        sent(0.2, TLS, sip("SIP/2.0 180 Ringing")),
        received(0.3, MOBILE, long),
        sent(0.4, MOBILE, sip("SIP/2.0 200 OK", cseq="9 MESSAGE")),
        received(0.5, ALICE, long),
        received(0.6, MOBILE, sip("BYE sip:101@192.168.1.2 SIP/2.0", cseq="10 BYE")),
    ]
    rows = read_capture(capture(make_trace(*entries)), tmp_path, *WIRE[1:], *PORTS, *SIP[:3])
    wire = [[value for value in row[:8] if value] for row in rows]
    assert wire[0] == ["2001:db8::5", "2001:db8::1", "5060", "5060"]
    assert wire[1] == ["192.168.1.13", "192.168.1.2", "40000", "5060"], "TLS in the clear is found at the port of SIP"
    # A message in two segments is put together again with the second.
    assert [row[8:-1] for row in rows] == [
        ["INVITE", "", "1 INVITE"],
        ["INVITE", "", "1 INVITE"],
        ["", "180", "1 INVITE"],
        ["", "", ""],
        ["MESSAGE", "", "9 MESSAGE"],
        ["", "200", "9 MESSAGE"],
        ["MESSAGE", "", "9 MESSAGE"],
        ["BYE", "", "10 BYE"],
    ]
    assert {row[-1] for row in rows} <= {""}


def test_a_message_whose_text_was_not_kept_is_cut_off_and_disturbs_no_connection(tmp_path: Path) -> None:
    bye = sip("BYE sip:101@192.168.1.2 SIP/2.0", cseq="2 BYE")
    entries = [
        received(0.0, ALICE, b"", size=900),
        received(0.1, MOBILE, INVITE),
        received(0.2, MOBILE, b"", size=500),
        sent(0.3, MOBILE, sip("SIP/2.0 200 OK")),
        received(0.4, V6, b"", size=700),
    ]
    data = capture(make_trace(*entries, received(0.5, DESK, bye)))
    assert [(length, len(packet)) for _, _, length, packet in records(data)][::4] == [(928, 28), (748, 48)]
    rows = read_capture(data, tmp_path, "frame.len", "frame.cap_len", "tcp.seq_raw", "tcp.ack_raw", "sip.CSeq")
    first, second, third = rows[1:4]
    assert int(second[2]) == int(first[2]) + len(INVITE)
    assert int(third[3]) == int(second[2]) + 500
    assert [row[4] for row in rows] == ["", "1 INVITE", "", "1 INVITE", "", "2 BYE"]


def test_rtp_headers_are_rtp_to_wireshark_and_nothing_that_was_said_is_there(tmp_path: Path) -> None:
    header = bytes.fromhex("8008 0001 000000a0 12345678")
    log = b"".join(
        HEADER_RECORD.pack(BEGAN_AT + 3.1 + place / 50, 172, 0, header[:3] + bytes([place]) + header[4:])
        for place in range(3)
    )
    unknown = HEADER_RECORD.pack(BEGAN_AT + 4, 172, 7, header)
    headers = RtpHeaders(0, 10_000, (("192.168.1.10", 4000), ("name", 1)), log + unknown, 5)
    trace = replace(make_trace(), headers=(headers,))
    rows = read_capture(capture(trace), tmp_path, *WIRE[:3], *PORTS[:2], "frame.len", "frame.cap_len", "rtp.seq")
    rtp = [row for row in rows if row[-2]]
    # What the phones said of port 4000 in their descriptions is how Wireshark knows RTP there.
    assert [row[1:8] for row in rtp] == [
        ["192.168.1.10", "192.168.1.2", "4000", "10000", "200", "40", str(number)] for number in range(3)
    ]
    assert float(rtp[0][0]) == BEGAN_AT + 3.1


def test_a_server_known_by_a_name_has_the_address_that_faces_the_phone() -> None:
    named = Flow("UDP", "pbx.example.org", 5060, "192.168.1.20", 5060)
    asked = []

    def route_source(host: str) -> str:
        asked.append(host)
        return "2001:db8::7" if host == "2001:db8::5" else "192.168.1.7"

    def servers(*flows: Flow) -> list[bytes]:
        made = make_trace(*(received(place, flow, INVITE) for place, flow in enumerate(flows)))
        return [
            packet[16:20] if packet[0] == 0x45 else packet[24:40] for *_, packet in records(capture(made, route_source))
        ]

    assert servers(named, ALICE, named) == [bytes([192, 168, 1, 7]), bytes([192, 168, 1, 2]), bytes([192, 168, 1, 7])]
    assert asked == ["192.168.1.20"]
    other_family = V6._replace(local_host="192.168.1.2")
    assert servers(other_family) == [IPv6Address("2001:db8::7").packed]
    assert servers(other_family._replace(remote_host="2001:db8::6")) == [bytes(16)]


def test_nothing_makes_an_empty_capture() -> None:
    assert list(records(capture(make_trace(received(0, ALICE._replace(remote_host="?"), INVITE))))) == []
