"""Registrations in the database."""

from __future__ import annotations

from dataclasses import replace

from sip.snapshots import NumberRecord
from store.backlog import apply
from store.bindings import PutBinding, RemoveBinding, drop_expired, live_bindings, number_records
from store.sql import Connection
from tests.support.stored import BINDING, NOON_AT


def test_a_binding_comes_back_as_it_went_in(connection: Connection) -> None:
    plain = replace(BINDING, binding_id="b-2", behind_nat=False, password_mark="", connection=4)
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(plain, 2))
    assert live_bindings(connection, NOON_AT) == [BINDING, plain]


def test_hostile_text_comes_back_to_the_byte(connection: Connection) -> None:
    hostile = replace(BINDING, user_agent="\udcff'; DROP TABLE binding; --\x00", contact="sip:100@\udc80", call_id="☎")
    apply(connection, PutBinding(hostile, 1))
    assert live_bindings(connection, NOON_AT) == [hostile]


def test_a_refresh_replaces_the_binding_even_when_its_contact_has_changed(connection: Connection) -> None:
    refreshed = replace(BINDING, contact="sip:100@192.168.1.10;transport=UDP", cseq=8, expires_at=NOON_AT + 7200)
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(refreshed, 2))
    assert live_bindings(connection, NOON_AT) == [refreshed]


def test_a_removed_binding_is_gone_and_its_number_remembered(connection: Connection) -> None:
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, RemoveBinding("b-1"))
    assert live_bindings(connection, NOON_AT) == []
    assert number_records(connection).keys() == {"100"}


def test_each_server_gets_its_own(connection: Connection) -> None:
    other = replace(BINDING, binding_id="b-2", server="two")
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(other, 2))
    assert live_bindings(connection, NOON_AT) == [BINDING]
    assert live_bindings(connection, NOON_AT, "two") == [other]


def test_a_binding_that_has_moved_is_not_changed_by_the_server_it_has_left(connection: Connection) -> None:
    moved = replace(BINDING, server="two", last_seen_at=NOON_AT + 1)
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(moved, 2))
    apply(connection, PutBinding(BINDING, 3))
    apply(connection, RemoveBinding("b-1"))
    assert live_bindings(connection, NOON_AT, "two") == [moved]
    back = replace(BINDING, last_seen_at=NOON_AT + 2)
    apply(connection, PutBinding(back, 4))
    assert live_bindings(connection, NOON_AT) == [back]
    apply(connection, RemoveBinding("b-1"))
    assert live_bindings(connection, NOON_AT) == []


def test_a_clock_that_was_set_back_keeps_no_refresh_from_being_written(connection: Connection) -> None:
    earlier = replace(BINDING, last_seen_at=NOON_AT - 3600, cseq=8)
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(earlier, 2))
    assert live_bindings(connection, NOON_AT) == [earlier]


def test_an_expired_binding_is_not_given_and_can_be_dropped(connection: Connection) -> None:
    late = replace(BINDING, binding_id="b-2", expires_at=NOON_AT + 3600.5)
    apply(connection, PutBinding(BINDING, 1))
    apply(connection, PutBinding(late, 2))
    assert live_bindings(connection, NOON_AT + 3600.0) == [late]
    assert drop_expired(connection, NOON_AT + 3600.0) == 1
    assert live_bindings(connection, NOON_AT) == [late]


def test_counts_and_times_of_a_number_go_on(connection: Connection) -> None:
    apply(connection, PutBinding(BINDING, 5))
    apply(connection, PutBinding(replace(BINDING, registered_at=NOON_AT + 10, last_seen_at=NOON_AT + 20), 6))
    assert number_records(connection) == {"100": NumberRecord("100", NOON_AT - 60.0, NOON_AT + 20, 6)}


def test_the_same_change_twice_counts_once(connection: Connection) -> None:
    for change in (PutBinding(BINDING, 5), PutBinding(BINDING, 5), PutBinding(BINDING, 4)):
        apply(connection, change)
    assert number_records(connection)["100"].registrations == 5


def test_putting_and_removing_are_about_the_same_subject() -> None:
    put, remove = PutBinding(BINDING, 1), RemoveBinding("b-1")
    assert put.key == remove.key
    assert (put.renewed, remove.renewed) == (True, False)
