"""Memory under floods: whatever arrives, from whom and however often, every table stays within its bounds, and when the
flood is over nothing is left of it.  The clock stands still while a flood arrives, which is as fast as one can be."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

import sip
import sip.calls
import sip.headers
from sip.call import MAX_LEGS
from sip.calls import LIVE_JOURNAL_BUDGET
from sip.location import MAX_BINDINGS_PER_NUMBER
from sip.registrar import MAX_CONTACT
from sip.trace_keeper import JOURNAL_BUDGET
from sip.transaction_server import NonInviteServerTransaction
from tests.support.bench_phone import FakePhone, TestCall, establish, hang_up
from tests.support.harness import LONG_S, Address, CoreHarness
from tests.support.sip_text import SipText

MESSAGES = 6_000
"""More than any table or cache takes."""

METHODS = (
    "OPTIONS",
    "REGISTER",
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "REFER",
    "INFO",
    "UPDATE",
    "PRACK",
    "NONSENSE",
)

PHONE, OTHER = "192.0.2.10", "192.0.2.11"
STRANGER = ("203.0.113.7", 5060)
HOME = (ip_network("192.0.2.0/24"),)
"""The network of the phones, where it is not everywhere."""


def forged(number: int) -> Address:
    """Another source for every number."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 5060


def request(
    method: str,
    number: int,
    source: Address,
    *,
    from_: str = "555",
    to: str = "100",
    to_tag: str = "",
    contact: str = "",
    padding: str = "",
) -> bytes:
    """A request with a Call-ID, a branch and a From tag of its own."""
    host = f"{source[0]}:{source[1]}"
    return SipText(
        f"{method} sip:{to}@192.0.2.1{padding} SIP/2.0",
        [
            ("Via", f"SIP/2.0/UDP {host};branch=z9hG4bK{number}{padding}"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:{from_}@192.0.2.1{padding}>;tag=f{number}"),
            ("To", f"<sip:{to}@192.0.2.1{padding}>{to_tag}"),
            ("Call-ID", f"c{number}{padding}@{source[0]}"),
            ("CSeq", f"1 {method}"),
            ("Contact", contact or f"<sip:{from_}@{host}>"),
        ],
        b"",
    ).to_bytes()


def tables(office: CoreHarness) -> dict[str, int]:
    """The size of every table a message can make grow."""
    x = office.core._exchange
    return {
        "server transactions": x.layer.server_count,
        "client transactions": x.layer.client_count,
        "timers": len(x.timers),
        "calls": len(x.calls),
        "calls in progress": len(x.calls.live()),
        "calls by Call-ID": len(x.calls._by_call_id),
        "relay sessions": len(office.relay.open_sessions),
        "bindings": sum(1 for _ in x.location.all()),
        "numbers that are known": len(x.location._numbers),
        "bindings that wait for their expiry": len(x.location._waiting),
        "keep-alives": len(office.core._keepalive),
    }


def office_with_phones(**settings: Any) -> tuple[CoreHarness, FakePhone, FakePhone]:
    office = CoreHarness(**settings)
    phones = [FakePhone(office, number, host).registered() for number, host in (("100", PHONE), ("101", OTHER))]
    return office, phones[0], phones[1]


def call_works(caller: FakePhone, callee: FakePhone) -> None:
    """From the INVITE to the BYE, whatever else was sent before."""
    caller.office.forget()
    call: TestCall = establish(caller, callee)
    hang_up(call.caller, call.callee)


# ------------------------------------------------------------------------------------------------ from strangers


@pytest.mark.parametrize("sources", ["one", "many"])
def test_a_flood_of_every_method_leaves_nothing_behind_and_phones_call_all_the_while(sources: str) -> None:
    office, caller, callee = office_with_phones()
    office.advance(LONG_S / 100)
    before = tables(office)
    for number in range(MESSAGES):
        source = STRANGER if sources == "one" else forged(number)
        method = METHODS[number % len(METHODS)]
        # From every number there is and many that are not, to as many, in a dialog and outside.
        from_, to = str(90 + number % 31), str(90 + number % 37)
        to_tag = ";tag=none" if number % 3 == 0 else ""
        if method == "REGISTER":
            to, to_tag = "999", ""
        office.inject(request(method, number, source, from_=from_, to=to, to_tag=to_tag), source)
        if number % (MESSAGES // 4) == 0:
            call_works(caller, callee)
    office.advance(LONG_S / 50)
    assert tables(office) == before
    call_works(caller, callee)


def test_a_flood_of_responses_is_not_kept() -> None:
    office, _, _ = office_with_phones()
    before = tables(office)
    for number in range(MESSAGES):
        source = forged(number)
        data = request("INVITE", number, source)
        response = b"SIP/2.0 %d Flood" % (100 + number % 600) + data[data.index(b"\r\n") :]
        office.inject(response, source)
    assert tables(office) == before


def test_a_flood_of_acks_is_not_kept() -> None:
    office, _, _ = office_with_phones()
    before = tables(office)
    for number in range(MESSAGES):
        office.inject(request("ACK", number, forged(number), to_tag=";tag=none" * (number % 2)), forged(number))
    assert tables(office) == before


# ------------------------------------------------------------------------------------------------ bindings


def test_a_number_has_at_most_ten_devices_however_many_register() -> None:
    office = CoreHarness(ext_min=100, ext_max=110)
    for number in range(MESSAGES // 5):
        source = forged(number)
        aor = str(100 + number % 11)
        office.inject(
            request("REGISTER", number, source, from_=aor, to=aor, contact=f"<sip:{aor}@{source[0]}:{5060 + number}>"),
            source,
        )
    sizes = tables(office)
    assert sizes["bindings"] == 11 * MAX_BINDINGS_PER_NUMBER
    assert sizes["numbers that are known"] == 11
    assert sizes["bindings that wait for their expiry"] <= 2 * sizes["bindings"]
    office.advance(LONG_S)
    office.assert_clean()


# ------------------------------------------------------------------------------------------------ from a phone


def refused_calls(caller: FakePhone, count: int) -> None:
    """Calls to a number there is not, each acknowledged."""
    for _ in range(count):
        invite = caller.send_request("INVITE", "sip:999@192.0.2.1")
        caller.ack_failure(invite, caller.expect("404 INVITE"))


# ------------------------------------------------------------------------------------------------ caches


def caches() -> Iterator[tuple[str, Any]]:
    """Every `lru_cache` of the signalling, by its name."""
    for module in pkgutil.iter_modules(sip.__path__, "sip."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "cache_info"):
                yield f"{module.name}.{name}", value


def test_every_cache_has_a_size() -> None:
    sizes = {name: cache.cache_info().maxsize for name, cache in caches()}
    assert sizes
    assert all(size is not None and size <= 4096 for size in sizes.values()), sizes


def test_long_texts_are_not_cached() -> None:
    """They would let a stranger fill the caches with its own words, 60 KB each."""
    office, _, _ = office_with_phones()
    long = ";p=" + "x" * 2_000
    for method in METHODS:
        office.inject(request(method, 0, STRANGER), STRANGER)
    before = {name: cache.cache_info().currsize for name, cache in caches()}
    for number in range(1, 60):
        for method in METHODS:
            office.inject(request(method, number, STRANGER, padding=f"{long}{number}"), STRANGER)
    after = {name: cache.cache_info().currsize for name, cache in caches()}
    assert {name: size - before[name] for name, size in after.items() if size - before[name] > 5} == {}
    assert max(map(len, sip.headers._KEPT)) <= 200


def test_so_many_header_lines_are_kept_and_no_more() -> None:
    office, _, _ = office_with_phones()
    most = 0
    for number in range(1_500):
        office.inject(request("MESSAGE", number, STRANGER), STRANGER)
        most = max(most, len(sip.headers._KEPT))
    assert 4_000 < most <= 4_096


def test_of_a_register_no_line_is_kept_that_comes_once() -> None:
    _, phone, _ = office_with_phones()
    phone.register()
    before = len(sip.headers._KEPT)
    for _ in range(20):
        phone.register()
    assert len(sip.headers._KEPT) == before


# ------------------------------------------------------------------------------------------------ tables of calls


def test_an_invite_of_a_stranger_is_refused_without_a_trace() -> None:
    office, *phones = office_with_phones(trusted_networks=HOME)
    before = tables(office)
    for number in range(2_000):
        source = forged(number)
        office.inject(request("INVITE", number, source, from_="101", to="100"), source)
    assert tables(office) == before
    assert office.ended_calls() == []
    call_works(*phones)


def test_the_answer_to_a_stranger_is_sent_once() -> None:
    office, _, _ = office_with_phones()
    office.forget()
    office.inject(request("INVITE", 1, STRANGER), STRANGER)
    office.advance(100.0)
    assert len(office.unread(STRANGER)) == 1


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_what_a_phone_can_begin_is_bounded(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The phone that it calls answers nothing, so that everything stays open."""
    monkeypatch.setattr("sip.transaction_layer.MAX_CLIENT_TRANSACTIONS", 300)
    monkeypatch.setattr("sip.calls.MAX_UNANSWERED_PER_SOURCE", 50)
    office, caller, callee = office_with_phones()
    layer = office.core._exchange.layer
    layer._max_server_transactions = 400
    office.advance(LONG_S / 100)
    before = tables(office)
    for number in range(1_000):
        office.inject(request(method, number, (PHONE, 5060), from_="100", to="101"), (PHONE, 5060))
    sizes = tables(office)
    assert sizes["client transactions"] == (50 if method == "INVITE" else 300)
    assert 300 <= sizes["server transactions"] <= 400
    assert sizes["calls in progress"] == (50 if method == "INVITE" else 0)
    last = office.sent[-1].message
    assert (last.status, last["Retry-After"]) == (503, "10")
    office.advance(LONG_S / 10)
    assert tables(office) == before
    call_works(caller, callee)


def test_the_server_carries_so_many_calls_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.calls.MAX_CALLS", 20)
    office, caller, callee = office_with_phones()
    calls = [establish(caller, callee) for _ in range(20)]
    refused = caller.send_request("INVITE", "sip:101@192.0.2.1")
    caller.ack_failure(refused, caller.expect("503 INVITE"))
    assert tables(office)["calls in progress"] == 20
    hang_up(calls[0].caller, calls[0].callee)
    establish(caller, callee)


def test_ended_calls_linger_in_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.calls.MAX_LINGERING", 100)
    office, caller, callee = office_with_phones()
    call = establish(caller, callee)
    refused_calls(caller, 1_000)
    assert tables(office)["calls"] == 101
    assert tables(office)["calls by Call-ID"] == 101
    hang_up(call.caller, call.callee)
    office.advance(LONG_S / 10)
    assert tables(office)["calls"] == 0


def test_a_callee_that_answers_with_a_new_tag_each_time_makes_so_many_legs_and_no_more() -> None:
    office, caller, callee = office_with_phones()
    caller.invite("101")
    invite = callee.expect("INVITE")
    for number in range(2 * MAX_LEGS):
        callee.respond(invite, 180, tag=f"t{number}")
    for number in range(2 * MAX_LEGS):
        callee.respond(invite, 200, tag=f"u{number}", body=callee.sdp())
    (call,) = office.core._exchange.calls._by_call_id.values()
    assert len(call.legs) == MAX_LEGS
    office.end_calls()
    office.advance(LONG_S)
    office.assert_clean()


def test_a_contact_of_endless_length_is_refused() -> None:
    office = CoreHarness()
    phone = FakePhone(office, "100", "192.0.2.10")
    phone.register(f"<sip:100@192.0.2.10;x={'y' * MAX_CONTACT}>")
    assert phone.expect("4?? REGISTER").reason == "Contact Too Long"
    assert tables(office)["bindings"] == 0


# ------------------------------------------------------------------------------------------------ journals


def test_the_records_of_ended_calls_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are written early and lose theirs."""
    budget = JOURNAL_BUDGET // 100
    monkeypatch.setattr("sip.trace_keeper.JOURNAL_BUDGET", budget)
    office, caller, _ = office_with_phones()
    refused_calls(caller, 500)
    calls = list(office.core._exchange.calls._calls.values())
    assert len(calls) == 500
    held = [call.journal.size for call in calls]
    assert budget // 2 < sum(held) <= budget
    assert (held[0], held[-1] > 0) == (0, True)
    assert len(office.recorder.traces) == sum(not size for size in held)
    office.advance(LONG_S)
    assert (len(office.recorder.traces), office.core._exchange.calls._traces.budget.used) == (500, 0)


def test_the_records_of_live_calls_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = LIVE_JOURNAL_BUDGET // 1_000
    monkeypatch.setattr("sip.calls.LIVE_JOURNAL_BUDGET", budget)
    office, caller, callee = office_with_phones()
    calls = [establish(caller, callee) for _ in range(40)]
    held = [call.journal.size for call in office.core._exchange.calls.live()]
    assert budget // 2 < sum(held) <= budget
    for call in calls:
        hang_up(call.caller, call.callee)
    assert office.core._exchange.calls._live_budget.used == 0


@pytest.mark.parametrize("ended", [True, False])
def test_who_knows_a_call_id_writes_nothing_into_the_record(ended: bool) -> None:
    office, caller, callee = office_with_phones(trusted_networks=HOME)
    call = establish(caller, callee)
    if ended:
        hang_up(call.caller, call.callee)
    (journal,) = {id(each.journal): each.journal for each in office.core._exchange.calls._calls.values()}.values()
    before = journal.entries()
    call_id = call.invite.call_id.encode()
    for number, method in enumerate(METHODS):
        data = request(method, number, STRANGER, to_tag=";tag=none")
        ours = re.sub(rb"Call-ID: [^\r]+", b"Call-ID: " + call_id, data)
        office.inject(ours, STRANGER)
        office.inject(b"SIP/2.0 200 Flood" + ours[ours.index(b"\r\n") :], STRANGER)
    assert journal.entries() == before


# ------------------------------------------------------------------------------------------------ transactions


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "INFO", "SUBSCRIBE"])
def test_an_answered_transaction_keeps_neither_the_request_nor_its_body(method: str) -> None:
    office, caller, _ = office_with_phones()
    office.inject(request(method, 1, (PHONE, 5060), from_="100", to="999"), (PHONE, 5060))
    kept = [
        each for each in office.core._exchange.layer._servers.values() if isinstance(each, NonInviteServerTransaction)
    ]
    (answered,) = [each for each in kept if each.key.startswith(method)]  # type: ignore[union-attr]
    assert caller.expect(f"404 {method}")
    assert answered.context is None


def test_answered_transactions_hold_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.transaction_layer.MAX_ANSWERED_BYTES", 50_000)
    office, _, _ = office_with_phones()
    for number in range(500):
        office.inject(
            request("MESSAGE", number, (PHONE, 5060), from_="100", to="999", padding=";p=" + "x" * 500), (PHONE, 5060)
        )
    layer = office.core._exchange.layer
    assert 25_000 < layer._answered_bytes <= 50_000
    assert 10 < layer.server_count < 100
