"""What ended calls have left, in the database: masked, found again, and forgotten in time."""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import replace

import pytest

from sip.snapshots import CallSnapshot
from sip.trace import TraceEntry, TraceRecord, TraceSource, record_of
from sip.trace_codec import FORMAT, UnreadableTrace, pack, unpack
from sip.trace_words import WORDS
from store import calls, traces
from store.backlog import apply
from store.calls import EndCall
from store.sql import Connection
from store.traces import PutTrace
from tests.support.stored import MEDIA, NOON_AT, ended_call
from tests.support.traces import CALLER, MEDIA_KEY, PASSWORD_PROOF, SOURCE, decided, received

CALL = ended_call("call-1", NOON_AT)


def put(connection: Connection, call: CallSnapshot, source: TraceSource = SOURCE) -> None:
    apply(connection, EndCall(call, (replace(MEDIA, call_id=call.call_id),)))
    apply(connection, PutTrace(call, source))


def kept(connection: Connection) -> list[str]:
    sql = "SELECT call_id FROM call JOIN trace ON call = id WHERE data IS NOT NULL ORDER BY id"
    return [name for (name,) in connection.execute(sql)]


def test_a_record_comes_back_from_its_bytes_as_it_was() -> None:
    assert unpack(pack(SOURCE)) == record_of(SOURCE)
    assert unpack(pack(TraceSource())) == TraceRecord()


def test_a_record_is_masked() -> None:
    (invite, *_) = unpack(pack(SOURCE)).entries
    assert (PASSWORD_PROOF.encode() in invite.data, MEDIA_KEY.encode() in invite.data) == (False, False)
    assert invite.size == len(SOURCE.entries[0].data)
    assert b'username="100"' in invite.data


def test_other_bytes_are_no_record() -> None:
    for data in (b"", b"nonsense", pack(SOURCE)[:-8]):
        with pytest.raises(UnreadableTrace):
            unpack(data)


def test_the_words_that_records_are_compressed_with_belong_to_the_format() -> None:
    """Who changes them has to raise `FORMAT`: all that was kept before becomes unreadable."""
    assert (FORMAT, zlib.crc32(WORDS)) == (2, 0x35DFDCC6)


def test_what_every_call_says_is_hardly_kept() -> None:
    """A message of common lines takes no more than a few bytes for each of them."""
    lines = b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n\r\n"
    with_message = TraceSource((received(0.0, CALLER, lines),))
    without = TraceSource((received(0.0, CALLER, b""),))
    assert len(pack(with_message)) - len(pack(without)) < len(lines) / 4


def test_all_about_a_call_is_found_by_its_call_id(connection: Connection) -> None:
    put(connection, CALL)
    trace = traces.find(connection, "call-1", None)
    assert trace is not None
    assert (trace.call, trace.media) == (CALL, (MEDIA,))
    record = record_of(SOURCE)
    assert (trace.entries, trace.dropped, trace.streams) == (record.entries, record.dropped, record.streams)
    assert (trace.quality, trace.headers) == (record.quality, record.headers)
    assert (trace.is_kept, trace.forgotten_at) == (True, None)
    assert traces.find(connection, "call-2", None) is None


def test_of_several_calls_with_one_call_id_the_newest_or_the_one_that_was_invited_then(
    connection: Connection,
) -> None:
    for invited_at in (100.0124, 100.0136, 90.0):
        put(connection, CALL._replace(invited_at=invited_at), TraceSource(dropped=int(invited_at * 10_000)))

    def found(invited_at: float | None) -> int | None:
        trace = traces.find(connection, "call-1", invited_at)
        return None if trace is None else trace.dropped

    assert [found(at) for at in (None, 90.0, 100.012, 100.013, 100.014)] == [1000136, 900000, 1000124, 1000136, None]


def test_the_call_id_may_hold_any_bytes(connection: Connection) -> None:
    for call_id in ("a/b?c%2F", "\udcff\x01'--", "юг"):
        put(connection, CALL._replace(call_id=call_id))
        trace = traces.find(connection, call_id, None)
        assert trace is not None and trace.call.call_id == call_id


def test_what_is_put_later_replaces_what_was_put_before(connection: Connection) -> None:
    put(connection, CALL)
    apply(connection, PutTrace(CALL, TraceSource((decided(0.0, "later"),))))
    trace = traces.find(connection, "call-1", None)
    assert trace is not None and [entry.text for entry in trace.entries] == ["later"]
    assert PutTrace(CALL, SOURCE).key == PutTrace(CALL, TraceSource()).key != EndCall(CALL, ()).key


def test_a_trace_of_a_call_that_is_not_in_the_history_is_dropped(connection: Connection) -> None:
    apply(connection, PutTrace(CALL, SOURCE))
    assert connection.execute("SELECT count(*) FROM trace").fetchone() == (0,)


def test_a_call_without_a_trace_has_its_figures(connection: Connection) -> None:
    apply(connection, EndCall(CALL, (MEDIA,)))
    trace = traces.find(connection, "call-1", None)
    assert trace is not None
    assert (trace.media, trace.entries, trace.is_kept, trace.forgotten_at) == ((MEDIA,), (), False, None)


def test_old_traces_are_forgotten_and_it_is_known_when(connection: Connection) -> None:
    for number in range(5):
        put(connection, ended_call(f"call-{number}", NOON_AT + number))
    assert traces.forget(connection, NOON_AT + 3, 1_000_000, NOON_AT + 60, 2) == 2
    assert traces.forget(connection, NOON_AT + 3, 1_000_000, NOON_AT + 70, 2) == 1
    assert traces.forget(connection, NOON_AT + 3, 1_000_000, NOON_AT + 80, 2) == 0
    assert kept(connection) == ["call-3", "call-4"]
    found = [traces.find(connection, f"call-{number}", None) for number in range(4)]
    assert [trace and (trace.is_kept, trace.forgotten_at) for trace in found] == [
        (False, NOON_AT + 60),
        (False, NOON_AT + 60),
        (False, NOON_AT + 70),
        (True, None),
    ]


def test_the_oldest_traces_make_room_for_the_others(connection: Connection) -> None:
    for number in range(5):
        put(connection, ended_call(f"call-{number}", NOON_AT + number))
    size = len(pack(SOURCE))
    assert traces.forget(connection, 0.0, 3 * size, NOON_AT + 60, 10) == 2
    assert traces.forget(connection, 0.0, 3 * size, NOON_AT + 60, 10) == 0
    assert kept(connection) == ["call-2", "call-3", "call-4"]
    assert connection.execute(traces.KEPT_BYTES).fetchone() == (3 * size,)


def test_a_call_that_leaves_the_history_takes_its_trace_along(connection: Connection) -> None:
    for number in range(2):
        put(connection, ended_call(f"call-{number}", NOON_AT + number))
    assert calls.prune(connection, NOON_AT + 1, 10) == 1
    assert kept(connection) == ["call-1"]
    assert connection.execute("SELECT count(*) FROM trace").fetchone() == (1,)


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (traces.FIND_NEWEST, ("c", 0.0, 1.0), "call_of_id (call_id=? AND invited_at>? AND invited_at<?)"),
        (traces.OLDEST, (5,), "COVERING INDEX trace_kept"),
        (traces.KEPT_BYTES, (), "COVERING INDEX trace_kept"),
    ],
)
def test_nothing_is_searched_for_without_an_index(
    sqlite: sqlite3.Connection, sql: str, values: tuple[object, ...], index: str
) -> None:
    steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert len(steps) == 1 and index in steps[0]


def test_the_call_of_each_trace_is_found_by_the_index(sqlite: sqlite3.Connection) -> None:
    values = [value for number in range(8) for value in (f"call-{number}", 1.0, 1, b"")]
    steps = [row[3] for row in sqlite.execute(f"EXPLAIN QUERY PLAN {traces.PUT.statements[8]}", values)]
    assert steps[-2:] == ["SCAN given", "SEARCH call USING INDEX call_of_id (call_id=? AND invited_at=?)"]


def test_traces_of_many_calls_are_put_together(connection: Connection) -> None:
    ended = [ended_call(f"call-{number}", NOON_AT + number) for number in range(30)]
    apply(connection, *(EndCall(call, ()) for call in ended))
    apply(connection, *(PutTrace(call, TraceSource(dropped=number)) for number, call in enumerate(ended)))
    found = [traces.find(connection, call.call_id, call.invited_at) for call in ended]
    assert [trace and (trace.call, trace.dropped) for trace in found] == list(zip(ended, range(30), strict=True))


def test_an_entry_without_a_place_is_no_message() -> None:
    message, decision, *_ = record_of(SOURCE).entries
    assert (message.is_message, decision.is_message) == (True, False)
    assert TraceEntry(decision.at, decision.kind).details == {}
