"""sip/outbox.py: what waits for a peer is bounded, and the end of it is orderly."""

from __future__ import annotations

import threading

import pytest

from sip.outbox import Item, Outbox


def test_what_was_put_in_first_comes_out_first() -> None:
    outbox = Outbox(10, 100)
    for number in range(3):
        assert outbox.put(b"%d" % number, number)
    assert [outbox.take() for _ in range(3)] == [(b"0", 0), (b"1", 1), (b"2", 2)]


def test_items_are_bounded() -> None:
    outbox = Outbox(2, 100)
    assert [outbox.put(b"x", None) for _ in range(3)] == [True, True, False]
    outbox.take()
    assert outbox.put(b"x", None)


def test_bytes_are_bounded() -> None:
    outbox = Outbox(10, 100)
    assert [outbox.put(bytes(40), None) for _ in range(3)] == [True, True, False]
    assert outbox.put(bytes(20), None)
    outbox.take()
    assert outbox.put(bytes(40), None)


def test_one_item_always_fits() -> None:
    outbox = Outbox(10, 100)
    assert outbox.put(bytes(1000), None)
    assert not outbox.put(b"x", None)


def test_what_is_queued_comes_out_after_the_finish_and_no_more_goes_in() -> None:
    outbox = Outbox(10, 100)
    outbox.put(b"last", 1)
    outbox.finish()
    assert not outbox.put(b"too late", 2)
    assert [outbox.take(), outbox.take()] == [(b"last", 1), None]


def test_after_an_abort_nothing_comes_out_and_the_rest_is_told() -> None:
    outbox = Outbox(10, 100)
    outbox.put(b"a", 1)
    outbox.put(b"b", 2)
    outbox.abort()
    assert outbox.take() is None
    assert outbox.rest() == [(b"a", 1), (b"b", 2)]
    assert outbox.rest() == []


@pytest.mark.parametrize("event", ["put", "finish", "abort"])
def test_who_waits_is_woken(event: str) -> None:
    outbox = Outbox(10, 100)
    taken: list[Item | None] = []
    waiter = threading.Thread(target=lambda: taken.append(outbox.take()))
    waiter.start()
    if event == "put":
        outbox.put(b"x", 1)
    else:
        getattr(outbox, event)()
    waiter.join(5)
    assert taken == [(b"x", 1) if event == "put" else None]


def test_its_length_is_what_waits() -> None:
    outbox = Outbox(10, 100)
    outbox.put(b"x", None)
    outbox.put(b"y", None)
    assert len(outbox) == 2
    outbox.take()
    assert len(outbox) == 1
