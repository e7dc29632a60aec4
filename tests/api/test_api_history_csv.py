"""The export of the history: its form, its filters, and what foreign text in it can't do."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api import csv_text
from api.calls import CSV_COLUMNS, MAX_EXPORTS
from api.errors import Problem
from sip.snapshots import CallRecord

PATH = "/api/calls/history.csv"


@pytest.fixture
def export(client) -> Callable[..., Any]:
    """`export(query)` reads a file to its end."""
    return lambda query="": client.get(PATH + query, buffered=True)


def rows(answer) -> list[dict[str, str]]:
    """As a spreadsheet program takes the file apart."""
    assert answer.status_code == 200, answer.json
    text = answer.data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_call_is_a_line_with_everything_that_is_known_of_it(services, export, make) -> None:
    services.ended = [make.ended("a@host", make.now_at - 0.5)]
    services.figures["a@host"] = (make.figures(), make.figures(side=1, packets=2990, lost=0, mos=None))
    assert rows(export()) == [
        {
            "inviteTimeUtc": "2030-03-17 17:45:30",
            "ringTimeUtc": "2030-03-17 17:45:31",
            "answerTimeUtc": "2030-03-17 17:45:39",
            "endTimeUtc": "2030-03-17 17:46:39",
            "duration": "60.0",
            "fromNumber": "100",
            "toNumber": "101",
            "terminationReason": "normal",
            "statusCode": "200",
            "reasonText": "100 hung up",
            "endedBy": "100",
            "fromAddress": "192.0.2.10:5060",
            "toAddress": "192.0.2.11:5060",
            "callId": "a@host",
            "callerCodec": "PCMA/8000",
            "callerPackets": "3000",
            "callerLost": "3",
            "callerJitter": "1.25",
            "callerMos": "4.31",
            "calleeCodec": "PCMA/8000",
            "calleePackets": "2990",
            "calleeLost": "0",
            "calleeJitter": "1.25",
            "calleeMos": "",
        }
    ]


def test_what_never_happened_is_an_empty_cell(services, export, make) -> None:
    services.ended = [make.ended("a", make.now_at, ringing_at=None, answered_at=None, status=0)]
    [row] = rows(export())
    empty = ("ringTimeUtc", "answerTimeUtc", "statusCode", "callerCodec", "calleePackets")
    assert [row[name] for name in empty] == [""] * 5
    assert row["duration"] == "0.0"


def test_of_several_streams_the_one_that_was_heard_counts(services, export, make) -> None:
    services.ended = [make.ended("a", make.now_at)]
    services.figures["a"] = (
        make.figures(packets=0, codec=None),
        make.figures(packets=50),
        make.figures(packets=900, kind="video"),
    )
    [row] = rows(export())
    assert (row["callerPackets"], row["calleePackets"]) == ("50", "")


def test_rfc_4180_the_form_of_the_file(services, export, make) -> None:
    services.ended = [make.ended("a", make.now_at, reason_text='he said "no", twice')]
    answer = export()
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="calls-2030-03-17.csv"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    lines = answer.data.split(b"\r\n")
    assert lines[0] == b"\xef\xbb\xbf" + ",".join(CSV_COLUMNS).encode()
    assert b',"he said ""no"", twice",' in lines[1]
    assert lines[2:] == [b""]
    assert b"\n" not in answer.data.replace(b"\r\n", b"")


def test_an_empty_history_is_a_line_of_names(export) -> None:
    assert export().data.decode("utf-8-sig") == ",".join(CSV_COLUMNS) + "\r\n"


def test_the_filters_are_those_of_the_list_and_there_are_no_pages(services, export, make) -> None:
    services.ended = [
        make.ended(f"c{n}", make.now_at - 60 * n, **({"from_number": "105"} if n % 4 == 3 else {})) for n in range(1200)
    ]
    assert len(rows(export())) == 1200
    found = rows(export("?extension=105&since=2030-03-17T17:30:00Z&until=2030-03-17T17:46:40Z"))
    assert [row["callId"] for row in found] == ["c3", "c7", "c11", "c15"]
    for query, parameter in (
        ("limit=5", "limit"),
        ("since=yesterday", "since"),
        ("since=2030-02-02&until=2030-02-01", "until"),
    ):
        answer = export(f"?{query}")
        assert (answer.status_code, answer.json["parameter"]) == (400, parameter)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("101", "101"),
        ("the phone - it rang - was busy", "the phone - it rang - was busy"),
        ("a@host", "a@host"),
        ("=1+1", "'=1+1"),
        ("+49 30 1", "'+49 30 1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1", " '=1"),
        ('"=1', "\"'=1"),
        ("\t=1", "\ufffd=1"),
        ("\r\n=1", "\ufffd\ufffd=1"),
        ("\uff1d1", "'\uff1d1"),
        ("x;=cmd|' /C calc'!A0", "x;'=cmd|' /C calc'!A0"),
        ('x; "=1', "x; \"'=1"),
        ("x,-1,+2", "x,'-1,'+2"),
        ("\u202etxt", "\ufffdtxt"),
        ("B\udcfcro", "B\ufffdro"),
        ("Бюро", "Бюро"),
        ("", ""),
    ],
)
def test_foreign_text_becomes_no_formula(services, export, make, text, cell) -> None:
    services.ended = [make.ended("a", make.now_at, from_number=text, reason_text=text)]
    [row] = rows(export())
    assert (row["fromNumber"], row["reasonText"]) == (cell, cell)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_cell_is_a_formula_whatever_parts_the_cells(services, export, make, delimiter) -> None:
    """A program that takes semicolons for separators sees other cells than we wrote; they are no formulas either."""
    nasty = 'a;=1;"=2",=3; "=4"\t=5;;=6'
    services.ended = [make.ended(nasty, make.now_at, from_number=nasty, reason_text=nasty)]
    text = export().data.decode("utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    assert len(cells) > 2
    assert [cell for cell in cells if cell.strip().startswith(("=", "+", "-", "@"))] == []


def test_rows_are_read_as_they_are_sent(services, client, make, monkeypatch) -> None:
    """A piece of the file needs only its own rows."""
    read = []

    def endless(_query: object) -> Iterator[object]:
        while True:
            read.append(1)
            yield CallRecord(make.ended("a", make.now_at), ())

    monkeypatch.setattr(services, "history_rows", endless)
    answer = client.get(PATH, buffered=False)
    pieces = answer.iter_encoded()
    assert next(pieces).count(b"\r\n") == csv_text.LINES_AT_ONCE + 1
    assert next(pieces).count(b"\r\n") == csv_text.LINES_AT_ONCE
    assert len(read) == 2 * csv_text.LINES_AT_ONCE
    answer.close()


def test_a_fault_on_the_way_ends_the_file_before_its_end(services, client, make, monkeypatch) -> None:
    """Whoever reads it must not take half of it for the whole."""

    def breaking(_query: object) -> Iterator[object]:
        for _ in range(csv_text.LINES_AT_ONCE):
            yield CallRecord(make.ended("a", make.now_at), ())
        raise Problem(503, "The history can't be read at the moment.", "Try again soon.")

    monkeypatch.setattr(services, "history_rows", breaking)
    answer = client.get(PATH, buffered=False)
    assert answer.status_code == 200
    with pytest.raises(Problem):
        _ = answer.data
    answer.close()


def test_a_few_exports_at_a_time_and_no_more(services, client, make) -> None:
    services.ended = [make.ended("a", make.now_at)]
    open_ones = [client.get(PATH, buffered=False) for _ in range(MAX_EXPORTS)]
    refused = client.get(PATH, buffered=True)
    assert (refused.status_code, refused.mimetype) == (503, "application/problem+json")
    assert refused.headers["Retry-After"] == "10"
    for answer in open_ones:
        answer.close()
    assert client.get(PATH, buffered=True).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_export_makes_room_for_the_next(services, client, method) -> None:
    for _ in range(MAX_EXPORTS + 1):
        assert client.open(PATH, method=method, buffered=True).status_code == 200
    services.history_fault = Problem(503, "The history can't be read at the moment.", "Try again soon.")
    for _ in range(MAX_EXPORTS + 1):
        assert "can't be read" in client.get(PATH, buffered=True).json["error"]
