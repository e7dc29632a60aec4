"""sip/routing.py: what the proxy calls itself, and the marks it leaves (RFC 3261 16.4, 16.6; RFC 5393; RFC 5658)."""

from __future__ import annotations

import pytest

from sip.flow import Flow
from sip.message import Request, parse_datagram
from sip.routing import Identity, breadth_shares, loop_hash, record_route, remove_own_routes, split_record_route
from sip.uri import Uri
from tests.support.harness import is_own_address

IDENTITY = Identity(is_own_address)
OURS = "<sip:192.0.2.1:5060;lr>"


def request(*headers: str, uri: str = "sip:101@192.0.2.11", to: str = "<sip:101@office.example>") -> Request:
    lines = [
        f"INFO {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx",
        *headers,
        "From: <sip:100@office.example>;tag=a",
        f"To: {to}",
        "Call-ID: c",
        "CSeq: 1 INFO",
    ]
    message = parse_datagram("\r\n".join(lines).encode() + b"\r\n\r\n")
    assert isinstance(message, Request)
    return message


def routes_after(*headers: str, uri: str = "sip:101@192.0.2.11") -> tuple[str, list[str]]:
    message = request(*headers, uri=uri)
    remove_own_routes(message, IDENTITY)
    return message.uri_text, message.headers.values("route")


TARGET = "sip:101@192.0.2.11"


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ((), []),
        (("Route:",), []),
        ((f"Route: {OURS}",), []),
        ((f"Route: {OURS}, {OURS}",), [OURS]),
        ((f"Route: {OURS}", "Route: <sip:next;lr>"), ["<sip:next;lr>"]),
        ((f"Route: <sip:next;lr>, {OURS}",), ["<sip:next;lr>", OURS]),
        (("Route: <sip:192.0.2.1:5060;transport=tcp;lr;r2>,<sip:198.51.100.1;lr;r2>",), []),
        ((f"Route: <sip:192.0.2.1;lr;r2>, {OURS}",), [OURS]),
        (("Route: <sip:192.0.2.1;lr;r2>, <sip:other;lr;r2>",), ["<sip:other;lr;r2>"]),
        (('Route: "a, b" <sip:office.example;lr>',), []),
        (("Route: <sip:192.0.2.1:5061;lr>",), ["<sip:192.0.2.1:5061;lr>"]),
    ],
)
def test_16_4_own_marks_on_top_come_off_and_no_others(headers: tuple[str, ...], left: list[str]) -> None:
    assert routes_after(*headers) == (TARGET, left)


@pytest.mark.parametrize(
    ("uri", "caller", "callee", "marks"),
    [
        ("sip:101@h", "UDP", "UDP", ["sip:192.0.2.1:5060;lr"]),
        ("sip:101@h", "TLS", "TLS", ["sip:192.0.2.1:5061;transport=tls;lr"]),
        ("sip:101@h", "UDP", "TLS", ["sip:192.0.2.1:5061;transport=tls;lr;r2", "sip:192.0.2.1:5060;lr;r2"]),
        (
            "sip:101@h",
            "TLS",
            "TCP",
            ["sip:192.0.2.1:5060;transport=tcp;lr;r2", "sip:192.0.2.1:5061;transport=tls;lr;r2"],
        ),
        ("sips:101@h", "TLS", "TLS", ["sips:192.0.2.1:5061;lr"]),
    ],
)
def test_16_6_4_each_side_finds_a_mark_for_its_transport(uri: str, caller: str, callee: str, marks: list[str]) -> None:
    fields = record_route(Uri.parse(uri), flow_of(caller), flow_of(callee))
    assert [field.line for field in fields] == [f"Record-Route: <{mark}>" for mark in marks]


def flow_of(transport: str) -> Flow:
    return Flow(transport, "192.0.2.1", 5061 if transport == "TLS" else 5060, "192.0.2.7", 40000, 0)


def test_16_4_what_a_strict_router_did_is_undone() -> None:
    own = "sip:192.0.2.1:5060;lr"
    assert routes_after(f"Route: <sip:a;lr>, <{TARGET}>", uri=own) == (TARGET, ["<sip:a;lr>"])
    assert routes_after(f"Route: <{TARGET}>", uri=own) == (TARGET, [])


def test_16_4_a_request_uri_with_a_user_is_no_mark_of_ours() -> None:
    uri = "sip:100@192.0.2.1;lr"
    assert routes_after("Route: <sip:a;lr>", uri=uri) == (uri, ["<sip:a;lr>"])


def test_12_1_the_route_sets_around_our_marks() -> None:
    values = ["<sip:b2;lr>", "<sip:b1;lr>", OURS, "<sip:198.51.100.1;lr;r2>", "<sip:a1;lr>", "<sip:a2;lr>"]
    assert split_record_route(values, IDENTITY) == (("<sip:b1;lr>", "<sip:b2;lr>"), ("<sip:a1;lr>", "<sip:a2;lr>"))
    assert split_record_route([OURS, "<sip:", "nonsense"], IDENTITY) == ((), ())
    assert split_record_route(["<sip:b2;lr>", "<sip:b1;lr>"], IDENTITY) == (("<sip:b1;lr>", "<sip:b2;lr>"), ())


def test_a_host_is_ours_with_its_port_only() -> None:
    for text, own in (
        ("sip:192.0.2.1", True),
        ("sip:x@192.0.2.1:5060;transport=tcp", True),
        ("sip:192.0.2.1:5061", False),
        ("sips:192.0.2.1", False),
        ("tel:192.0.2.1", False),
    ):
        assert IDENTITY.is_own(Uri.parse(text)) is own


def test_rfc_5393_4_2_a_loop_is_told_from_a_spiral_by_what_routing_depends_on() -> None:
    first = request()
    branch = IDENTITY.new_branch(loop_hash(first))
    back = request(f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};received=192.0.2.1")
    assert IDENTITY.is_loop(back, loop_hash(back))
    spiral = request(f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}", uri="sip:102@192.0.2.11")
    assert not IDENTITY.is_loop(spiral, loop_hash(spiral))
    # The same hash in the branch of somebody else, or of an earlier run of this server, is no loop.
    other = request(f"Via: SIP/2.0/UDP 192.0.2.9;branch={Identity(is_own_address).new_branch(loop_hash(first))}")
    assert not IDENTITY.is_loop(other, loop_hash(other))


def test_19_3_tags_branches_and_call_ids_are_unique() -> None:
    for make in (IDENTITY.new_tag, IDENTITY.new_call_id, IDENTITY.new_branch):
        assert len({make() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize(
    ("header", "branches", "shares"),
    [
        (None, 1, [60]),
        (None, 7, [9, 9, 9, 9, 8, 8, 8]),
        ("5", 2, [3, 2]),
        ("1", 2, [1]),
        ("0", 1, []),
        ("1000", 2, [30, 30]),
        ("many", 2, [30, 30]),
    ],
)
def test_rfc_5393_5_3_3_shares_of_max_breadth(header: str | None, branches: int, shares: list[int]) -> None:
    message = request(f"Max-Breadth: {header}") if header is not None else request()
    assert breadth_shares(message, branches) == shares
