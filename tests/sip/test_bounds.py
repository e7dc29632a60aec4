"""Memory under floods: whatever arrives, from whom and however often, every table stays within its bounds, and when the
flood is over nothing is left of it.  The clock stands still while a flood arrives, which is as fast as one can be."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import sip
import sip.calls
from sip.location import MAX_BINDINGS_PER_NUMBER
from tests.support.bench_phone import FakePhone, TestCall, establish, hang_up
from tests.support.harness import LONG_S, Address, CoreHarness
from tests.support.sip_text import SipText

MESSAGES = 20_000

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
        "numbers with a count": len(x.location._counts),
        "keep-alives": len(office.core._keepalive),
    }


def office_with_phones() -> tuple[CoreHarness, FakePhone, FakePhone]:
    office = CoreHarness()
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
        if number % 5_000 == 0:
            call_works(caller, callee)
    assert len(office.core.ended_calls()) <= sip.calls.HISTORY_LENGTH
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
    for number in range(MESSAGES):
        source = forged(number)
        aor = str(100 + number % 11)
        office.inject(
            request("REGISTER", number, source, from_=aor, to=aor, contact=f"<sip:{aor}@{source[0]}:{5060 + number}>"),
            source,
        )
    sizes = tables(office)
    assert sizes["bindings"] == 11 * MAX_BINDINGS_PER_NUMBER
    assert sizes["numbers with a count"] == 11
    office.advance(LONG_S)
    office.assert_clean()


# ------------------------------------------------------------------------------------------------ from a phone


def refused_calls(caller: FakePhone, count: int) -> None:
    """Calls to a number there is not, each acknowledged."""
    for _ in range(count):
        invite = caller.send_request("INVITE", "sip:999@192.0.2.1")
        caller.ack_failure(invite, caller.expect("404 INVITE"))


def test_the_history_forgets_the_oldest_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.calls.HISTORY_LENGTH", 200)
    office, caller, _ = office_with_phones()
    refused_calls(caller, 1_000)
    assert len(office.core.ended_calls()) == 200


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
    for number in range(1, 300):
        for method in METHODS:
            office.inject(request(method, number, STRANGER, padding=f"{long}{number}"), STRANGER)
    after = {name: cache.cache_info().currsize for name, cache in caches()}
    assert {name: size - before[name] for name, size in after.items() if size - before[name] > 5} == {}
