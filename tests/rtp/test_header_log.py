"""The headers of the last packets."""

from __future__ import annotations

from rtp.header_log import MAX_PACKETS, MAX_SOURCES, RECORD, HeaderLog
from sip.trace import HEADER_RECORD


def noted(log: HeaderLog) -> list[tuple[float, int, int, bytes]]:
    return list(RECORD.iter_unpack(log.copy(0, 10_000, 0.0).records))


def test_a_record_has_time_length_source_and_the_header_alone() -> None:
    log = HeaderLog()
    log.heard_from(("192.0.2.10", 4000))
    log.note(5.25, 172, bytearray(range(12)) + b"secret")
    copy = log.copy(1, 10_002, 77.0)
    assert (copy.side, copy.relay_port, copy.dropped, copy.wall_offset_s) == (1, 10_002, 0, 77.0)
    assert copy.sources == (("", 0), ("192.0.2.10", 4000))
    assert noted(log) == [(5.25, 172, 1, bytes(range(12)))]


def test_only_the_last_packets_stay_in_their_order() -> None:
    log = HeaderLog()
    for number in range(MAX_PACKETS):
        log.note(float(number), 100, bytes(12))
    assert (len(noted(log)), log.copy(0, 0, 0.0).dropped) == (MAX_PACKETS, 0)
    for number in range(MAX_PACKETS, MAX_PACKETS + 7):
        log.note(float(number), 100, bytes(12))
    assert [at for at, *_ in noted(log)] == [float(number) for number in range(7, MAX_PACKETS + 7)]
    assert log.copy(0, 0, 0.0).dropped == 7


def test_a_source_keeps_its_index_and_there_are_not_more_than_fit() -> None:
    log = HeaderLog()
    for port in (1, 2, 1):
        log.heard_from(("h", port))
        log.note(0.0, 100, bytes(12))
    assert [source for _, _, source, _ in noted(log)] == [1, 2, 1]
    for port in range(3, 400):
        log.heard_from(("h", port))
    log.note(0.0, 100, bytes(12))
    assert len(log.copy(0, 0, 0.0).sources) == MAX_SOURCES


def test_the_trace_reads_the_same_records() -> None:
    assert RECORD.format == HEADER_RECORD.format
