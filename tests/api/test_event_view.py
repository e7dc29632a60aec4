"""api/event_view.py: the envelope, and the data of each type."""

from __future__ import annotations

import json
import re

import pytest

from api.event_view import GAP, TYPES, envelope, gap, wanted_types
from sip.event_bus import EventBus
from sip.events import BanEnd, Bound, CallName, Content, Digit, DigitWay, EventType, Held, Sound
from sip.facts import Departure, Fact
from sip.flow import Flow
from sip.snapshots import DepartureSnapshot
from sip.uri import Uri

NOW_AT = 1_900_000_000.0
NOW = "2030-03-17T17:46:40.000Z"
CALL_NAME = CallName("call-1", "100", "101")
BOUND = Bound(
    number="100",
    contact=Uri.parse("sip:100@192.0.2.10:5060"),
    flow=Flow("UDP", "192.0.2.1", 5060, "192.0.2.10", 5062),
    expires_s=3599.6,
    user_agent="baresip 4.0\x1b[31m",
    registered_at=NOW_AT - 60,
    behind_nat=True,
)
DEPARTURE = DepartureSnapshot("100", NOW_AT, Departure.EXPIRED, "[2001:db8::1]:5060", "UDP", "baresip 4.0")
SOUND = Sound(CALL_NAME, Fact.ONE_WAY_AUDIO, 1, NOW_AT - 6, "no sound", {"seconds": 6.0, "packets": 0})


def shown(kind: EventType, content: Content) -> dict:
    bus = EventBus()
    bus.emit(kind, NOW_AT, content)
    (event,) = bus.read(0).events
    view = envelope(event, bus, "sipserver@pbx")
    assert list(view) == ["id", "type", "time", "source", "subject", "data"]
    assert (view["id"], view["type"], view["time"]) == (bus.id_of(1), kind.value, NOW)
    json.dumps(view, allow_nan=False)
    return view


def test_a_password_in_a_contact_goes_nowhere() -> None:
    contact = Uri.parse("sip:100:sea-gull@192.0.2.10:5060")
    view = shown(EventType.REGISTRATION_ADDED, BOUND._replace(contact=contact))
    assert view["data"]["uri"] == "sip:100:***@192.0.2.10:5060"


def test_a_registration() -> None:
    view = shown(EventType.REGISTRATION_ADDED, BOUND)
    assert view["subject"] == "100"
    assert view["data"] == {
        "number": "100",
        "uri": "sip:100@192.0.2.10:5060",
        "address": "192.0.2.10",
        "port": 5062,
        "transport": "UDP",
        "expires": 3600,
        "registeredAt": "2030-03-17T17:45:40.000Z",
        "userAgent": "baresip 4.0\ufffd[31m",
        "behindNat": True,
    }


def test_the_end_of_a_registration() -> None:
    data = shown(EventType.REGISTRATION_EXPIRED, DEPARTURE)["data"]
    assert (data["address"], data["port"], data["reason"], data["by"]) == ("2001:db8::1", 5060, "expired", None)


def test_a_call_has_the_fields_of_calls_elsewhere(client, services, make) -> None:
    services.live = [make.call("call-1")]
    (elsewhere,) = client.get("/api/calls").json
    view = shown(EventType.CALL_ANSWERED, make.call("call-1"))
    assert (view["subject"], view["data"]) == ("call-1", elsewhere)


def test_a_hold(make) -> None:
    data = shown(EventType.CALL_HELD, Held(make.call("call-1"), True, 1))["data"]
    assert (data["callId"], data["held"], data["by"]) == ("call-1", True, "callee")


def test_sound() -> None:
    view = shown(EventType.MEDIA_ONE_WAY, SOUND)
    assert (view["subject"], view["data"]) == (
        "call-1",
        {
            "callId": "call-1",
            "fromNumber": "100",
            "toNumber": "101",
            "sender": "callee",
            "since": "2030-03-17T17:46:34.000Z",
            "reason": "one-way-audio",
            "reasonText": "no sound",
            "seconds": 6.0,
            "packets": 0,
        },
    )
    assert shown(EventType.MEDIA_TIMEOUT, SOUND._replace(side=None))["data"]["sender"] is None
    assert shown(EventType.MEDIA_STARTED, SOUND._replace(figures={"again": 1}))["data"]["again"] is True


def test_a_digit() -> None:
    data = shown(EventType.DTMF_RECEIVED, Digit(CALL_NAME, 0, "#", DigitWay.RTP))["data"]
    assert (data["sender"], data["digit"], data["method"], data["toNumber"]) == ("caller", "#", "rfc4733", "101")


def test_bans(make) -> None:
    view = shown(EventType.SECURITY_BANNED, make.ban("192.0.2.66"))
    assert (view["subject"], view["data"]["failures"]) == ("192.0.2.66", 10)
    view = shown(EventType.SECURITY_UNBANNED, BanEnd("192.0.2.66", by_person=True))
    assert view["data"] == {"address": "192.0.2.66", "reason": "lifted"}


def test_the_server_itself() -> None:
    view = shown(EventType.SERVER_WARNING, {"problem": "full\u202e", "resolved": False})
    assert (view["subject"], view["data"]) == (None, {"problem": "full\ufffd", "resolved": False})


def test_what_can_not_be_had_any_more_stands_as_an_event() -> None:
    bus = EventBus()
    forgotten, restarted = gap(3, 5, NOW_AT, bus, "pbx"), gap(0, None, NOW_AT, bus, "pbx")
    assert (forgotten["id"], forgotten["type"], forgotten["data"]) == (
        bus.id_of(8),
        GAP,
        {"missed": 5, "reason": "forgotten"},
    )
    assert (restarted["id"], restarted["data"]) == (bus.id_of(0), {"missed": None, "reason": "restarted"})


def test_types_are_named_one_by_one_or_by_their_first_word() -> None:
    assert wanted_types("call.held, dtmf.received") == {EventType.CALL_HELD, EventType.DTMF_RECEIVED}
    assert wanted_types("security.*") == {EventType.SECURITY_BANNED, EventType.SECURITY_UNBANNED}
    assert {kind.value for kind in wanted_types("*")} == set(TYPES)


@pytest.mark.parametrize("text", ["", "call", "call.", "call.nothing", "call.*,", "c*", "*.held", "Call.held", "\n"])
def test_what_names_no_type(text: str) -> None:
    part = text.rpartition(",")[2].strip()
    with pytest.raises(ValueError, match=f"^{re.escape(part)}$"):
        wanted_types(text)
