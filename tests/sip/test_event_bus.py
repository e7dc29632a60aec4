"""sip/event_bus.py: events are numbered, remembered for a while, and waited for."""

from __future__ import annotations

import threading

import pytest

from sip.event_bus import EventBus
from sip.events import NO_DATA, EventType

WARNING = EventType.SERVER_WARNING
LONG_S = 5.0


def emit(bus: EventBus, count: int) -> None:
    for _ in range(count):
        bus.emit(WARNING, 1_700_000_000.0, NO_DATA)


def numbers(bus: EventBus, after: int, limit: int = 1_000) -> list[int]:
    return [event.number for event in bus.read(after, limit).events]


def test_events_are_numbered_from_one_and_read_in_order() -> None:
    bus = EventBus()
    assert (bus.newest, bus.read(0)) == (0, ((), 0))
    emit(bus, 3)
    assert bus.newest == 3
    assert (numbers(bus, 0), numbers(bus, 2), numbers(bus, 3)) == ([1, 2, 3], [3], [])
    assert numbers(bus, 0, limit=2) == [1, 2]


def test_the_oldest_are_forgotten_and_a_late_reader_is_told_how_many() -> None:
    bus = EventBus(kept=10)
    emit(bus, 25)
    batch = bus.read(5)
    assert ([event.number for event in batch.events], batch.missed) == (list(range(16, 26)), 10)
    assert bus.read(15).missed == bus.read(20).missed == 0
    assert numbers(bus, 20) == [21, 22, 23, 24, 25]


def test_an_id_is_recognised_by_the_run_that_gave_it_alone() -> None:
    bus, other = EventBus(), EventBus()
    emit(bus, 2)
    emit(other, 2)
    assert bus.number_of(bus.id_of(2)) == 2
    assert bus.number_of(bus.id_of(0)) == 0
    assert bus.number_of(bus.id_of(3)) is None  # never given
    assert bus.number_of(other.id_of(1)) is None


@pytest.mark.parametrize("text", ["", "1", "x-1", "0123456789-1", "01234567-", "01234567-1x", "01234567-" + "9" * 16])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        EventBus().number_of(text)


def test_a_reader_sleeps_until_there_is_news() -> None:
    bus = EventBus()
    emit(bus, 1)
    assert bus.wait(0, LONG_S)
    woken: list[bool] = []
    reader = threading.Thread(target=lambda: woken.append(bus.wait(1, LONG_S)))
    reader.start()
    emit(bus, 1)
    reader.join(LONG_S)
    assert woken == [True]
    assert not bus.wait(2, 0.0)


def test_the_end_wakes_everybody_and_what_was_told_can_still_be_read() -> None:
    bus = EventBus()
    readers = [threading.Thread(target=bus.wait, args=(0, LONG_S)) for _ in range(3)]
    for reader in readers:
        reader.start()
    bus.close()
    for reader in readers:
        reader.join(LONG_S)
        assert not reader.is_alive()
    emit(bus, 1)
    assert bus.is_closed
    assert bus.wait(1, LONG_S)  # at once
    assert numbers(bus, 0) == [1]
