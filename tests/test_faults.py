"""A fault that comes again and again fills no disk, and a new one is told at once."""

from __future__ import annotations

import errno
import logging
import threading

import pytest

from faults import INTERVAL_S, MAX_KINDS, FaultLog, fault_counts

log = logging.getLogger("sip.test")


def value_error() -> ValueError:
    try:
        raise ValueError("a value")
    except ValueError as error:
        return error


def test_each_kind_once_a_minute_with_how_often_it_came(caplog: pytest.LogCaptureFixture) -> None:
    faults = FaultLog(log, "test")
    for now in (0.0, 1.0, INTERVAL_S - 0.1, INTERVAL_S, INTERVAL_S + 1.0):
        faults.note(value_error(), now, "a message from %s", "192.0.2.1")

    assert [record.getMessage() for record in caplog.records] == [
        "a message from 192.0.2.1",
        "a message from 192.0.2.1 (and 2 times more since this was last said)",
    ]
    assert all(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
    assert faults.met == 5


def test_another_place_or_type_is_another_kind(caplog: pytest.LogCaptureFixture) -> None:
    faults = FaultLog(log, "test")
    try:
        raise ValueError("elsewhere")
    except ValueError as elsewhere:
        for error in (value_error(), elsewhere, KeyError("never raised")):
            faults.note(error, 0.0, "a message")

    assert len(caplog.records) == 3


def test_faults_of_the_system_are_warnings_and_told_apart_by_their_number(caplog: pytest.LogCaptureFixture) -> None:
    faults = FaultLog(log, "test")
    for number, text in ((errno.EPERM, "not permitted"), (errno.ENOBUFS, "no room"), (errno.EPERM, "not permitted")):
        faults.warn(OSError(number, text), 0.0, "to %s", "192.0.2.1")

    assert [record.getMessage() for record in caplog.records] == [
        "to 192.0.2.1: not permitted",
        "to 192.0.2.1: no room",
    ]
    assert {(record.levelno, record.exc_info) for record in caplog.records} == {(logging.WARNING, None)}


def test_what_is_remembered_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    faults = FaultLog(log, "test")
    for number in range(1, MAX_KINDS + 2):
        faults.warn(OSError(number, "x"), 0.0, "sending")
    assert len(faults._silent_until) == 1
    faults.warn(OSError(1, "x"), 1.0, "sending")
    assert len(caplog.records) == MAX_KINDS + 2


def test_they_are_counted_by_place_whatever_is_logged() -> None:
    FaultLog(log, "quiet place")
    assert fault_counts()["quiet place"] == 0
    here, beside, elsewhere = FaultLog(log, "place"), FaultLog(log, "place"), FaultLog(log, "elsewhere")
    for _ in range(3):
        here.note(value_error(), 0.0, "a message")
    beside.warn(OSError(errno.EPERM, "not permitted"), 0.0, "to %s", "192.0.2.1")
    beside.count()
    elsewhere.note(value_error(), 0.0, "a message")
    assert (fault_counts()["place"], fault_counts()["elsewhere"], here.met) == (5, 1, 3)


def test_no_thread_takes_the_count_of_another() -> None:
    faults = FaultLog(log, "busy place")
    error = OSError(errno.ENOBUFS, "no room")

    def meet() -> None:
        for _ in range(2_000):
            faults.warn(error, 0.0, "sending")

    threads = [threading.Thread(target=meet) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.met == fault_counts()["busy place"] == 8_000
