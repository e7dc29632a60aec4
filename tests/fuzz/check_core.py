"""Whatever arrives, the core goes on: no fault of ours, few messages for each that came, and nothing is left of it."""

from __future__ import annotations

import logging
import re

from sip.location import MAX_BINDINGS_PER_NUMBER
from sip.message import parse_datagram
from sip.snapshots import CallState
from tests.support.bench_phone import FakePhone
from tests.support.harness import LONG_S, Address, CoreHarness

NEXT = b"\n--wire--\n"
"""Between two messages of one input."""
TOP_VIAS = b"$VIA"
"""In a response: the Via lines of the request that it answers, which no input can guess."""

OUR_TAG = b"$TAG"
"""In a request: the To tag that the server has answered this phone with last, which no input can guess."""

PHONES = (("100", "192.0.2.10"), ("101", "192.0.2.11"))
SOURCES: tuple[tuple[Address, str, int], ...] = (
    (("192.0.2.10", 5060), "UDP", 0),
    (("192.0.2.11", 5060), "UDP", 0),
    (("203.0.113.7", 5060), "UDP", 0),
    (("192.0.2.12", 40_000), "TCP", 7),
)
"""Two phones with a registration each, a stranger, and a connection."""
PAUSES_S = (0.0, 0.6, 40.0, 400.0)

MAX_MESSAGES = 12
MAX_AT_ONCE = 2 + 2 * MAX_BINDINGS_PER_NUMBER
"""A 100, a final response, and a request to every device of a number with a CANCEL for each."""
MAX_IN_ALL = 400
"""For each message that came, all repetitions until the last timer has fired included."""

_TO_TAG = re.compile(rb"^To:[^\r]*;tag=([^;\r]+)", re.MULTILINE)
_CSEQ_METHOD = re.compile(rb"^CSeq: [0-9]+ ([A-Z]+)\r$", re.MULTILINE)
_VIA_LINE = re.compile(rb"^Via:[^\r]*\r\n", re.MULTILINE)


class _Faults(logging.Handler):
    """A fault that the core answers with 500 fails here all the same."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            raise AssertionError(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


def check_core(data: bytes) -> None:
    """Each message begins with two characters: whose it is and how long before it nothing comes (`SOURCES`,
    `PAUSES_S`)."""
    faults = _Faults()
    log = logging.getLogger("sip")
    log.addHandler(faults)
    try:
        run(data)
    finally:
        log.removeHandler(faults)


def run(data: bytes) -> None:
    office = CoreHarness()
    for number, host in PHONES:
        FakePhone(office, number, host).registered()
    office.sent.clear()
    messages = [message for message in data.split(NEXT)[:MAX_MESSAGES] if len(message) > 2]
    for message in messages:
        office.advance(PAUSES_S[message[1] % 4])
        (address, transport, connection) = SOURCES[message[0] % 4]
        before = len(office.sent)
        complete = with_tag(office, address, with_vias(office, address, message[2:]))
        office.inject(complete, address, transport, connection)
        assert len(office.sent) - before <= MAX_AT_ONCE, "one message has set off too many"
    check_calls(office)
    office.core.clear_registrations(office.now)
    office.advance(LONG_S)
    # Answered without a stream through the relay, nothing but a BYE tells that a call is over.
    assert all(call.state is CallState.ESTABLISHED for call in office.core.calls()), (
        "a call that nobody answers goes on"
    )
    office.end_calls()
    office.assert_clean()
    assert len(office.sent) <= MAX_IN_ALL * len(messages)
    for sent in office.sent:
        parse_datagram(sent.data)


def with_vias(office: CoreHarness, address: Address, message: bytes) -> bytes:
    """The response to the last request of the method that its CSeq names."""
    method = _CSEQ_METHOD.search(message)
    if TOP_VIAS not in message or method is None:
        return message
    for sent in reversed(office.sent):
        if sent.flow.remote == address and sent.data.startswith(method[1] + b" "):
            return message.replace(TOP_VIAS, b"".join(_VIA_LINE.findall(sent.data)).removesuffix(b"\r\n"), 1)
    return message


def with_tag(office: CoreHarness, address: Address, message: bytes) -> bytes:
    """The request inside the dialog of the last response."""
    if OUR_TAG not in message:
        return message
    for sent in reversed(office.sent):
        if sent.flow.remote == address and sent.data.startswith(b"SIP/2.0 ") and (tag := _TO_TAG.search(sent.data)):
            return message.replace(OUR_TAG, tag[1], 1)
    return message


def check_calls(office: CoreHarness) -> None:
    """The views can be had at any time."""
    calls = office.core.calls()
    assert len(office.relay.open_sessions) <= 4 * max(1, len(calls)) * MAX_BINDINGS_PER_NUMBER * 32
    office.core.registrations(office.now)
    office.core.call_totals()
