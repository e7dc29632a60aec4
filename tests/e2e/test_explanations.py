"""Every fault that a rule about calls speaks of, made to happen on the wire, and explained by the server.

Each test expects exactly the findings that it names, so the other rules are seen not to speak.  What needs packets
dropped or public addresses is in test_explanations_network.py.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import sip.call_control
import sip.calls
import sip.media_watch
from sip.timers import TimerSettings
from tests.support.explained import ExplainedOffice, key_of, say
from tests.support.office import eventually
from tests.support.phone import SoftPhone
from tests.support.phone_call import IncomingCall, OutgoingCall
from tests.support.rtp import MediaPort, RtpPacket, free_media_range
from tests.support.sip_text import SipText
from tests.support.tls import TlsFiles

SOON = 0.004
"""T1 where a phone that says nothing is given up after a quarter of a second."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplainedOffice]:
    """Shared by all tests that need no settings of their own."""
    office = ExplainedOffice(tmp_path_factory.mktemp("office"), expires_min=1)
    yield office
    office.close()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplainedOffice]:
    """One that soon gives up waiting for a phone."""
    office = ExplainedOffice(tmp_path_factory.mktemp("impatient"), TimerSettings(t1_s=SOON))
    yield office
    office.close()


@pytest.fixture
def own_office(tmp_path) -> Iterator[object]:
    """Makes offices with settings of their own."""
    offices: list[ExplainedOffice] = []

    def make(timers: TimerSettings | None = None, **settings: object) -> ExplainedOffice:
        offices.append(ExplainedOffice(tmp_path / str(len(offices)), timers, **settings))
        return offices[-1]

    yield make
    for each in offices:
        each.close()


@pytest.fixture(scope="module")
def short_lived(office: ExplainedOffice) -> SoftPhone:
    """A phone that registers for a second, at the beginning, and forgets to come back."""
    phone = office.unregistered("398")
    phone.register(1)
    return phone


class LyingPhone(SoftPhone):
    """Behind NAT: it believes to be at an address that is not the one its packets come from."""

    @property
    def address(self) -> str:
        return f"192.168.77.1:{self.link.local[1]}"


class Impostor(SoftPhone):
    """It calls in the name of 101, and wants to be called back at the server itself."""

    @property
    def uri(self) -> str:
        return self.uri_of("101" if self.password else self.number)

    @property
    def contact(self) -> str:
        return f"<{self.server_uri}>"


# ------------------------------------------------------------------------------------------------ nothing is wrong


@pytest.mark.usefixtures("short_lived")
def test_a_good_call_is_said_to_be_good_with_its_figures(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call, _ = office.talk(alice, bob)
    during = office.explain(call)
    office.hang_up(call)
    after = office.explain(call)
    assert (during["verdict"], during["findings"]) == (after["verdict"], after["findings"]) == ("good", [])
    assert "all is well: 0 % of the sound lost" in during["summary"]
    assert "all was well: 0 % of the sound lost" in after["summary"]
    assert "всё было в порядке" in office.explain(call, "ru")["summary"]


@pytest.mark.parametrize("number", ["*43", "*41"])
def test_a_test_call_is_good_too(office: ExplainedOffice, number: str) -> None:
    alice = office.phone(office.number())
    call = alice.call(number)
    call.wait_answered()
    call.media.send(*call.media.make_packets(60))
    assert call.media.receive()
    assert office.keys(call) == []
    office.hang_up(call)
    assert office.explain(call)["verdict"] == "good"


# ------------------------------------------------------------------------------------------------ not reached


def dial(office: ExplainedOffice, number: str) -> object:
    call = office.phone(office.number()).call(number)
    call.wait_rejected()
    return call


def test_never_registered(office: ExplainedOffice) -> None:
    assert office.keys(dial(office, "399")) == ["callee-not-registered.never certain"]


def test_unregistered(office: ExplainedOffice) -> None:
    bob = office.phone(office.number())
    bob.unregister()
    call = dial(office, bob.number)
    assert office.keys(call) == ["callee-not-registered.unregistered certain"]
    assert bob.address in office.explain(call)["findings"][0]["sentence"]


def test_removed_by_another_phone(office: ExplainedOffice) -> None:
    bob = office.phone(office.number())
    other = office.unregistered(bob.number, host="127.0.0.2")
    other.send_register(0, ("Contact", "*")).wait_final()
    call = dial(office, bob.number)
    assert office.keys(call) == ["callee-not-registered.removed-by-another certain"]
    assert other.address in office.explain(call)["findings"][0]["sentence"]


def test_removed_by_the_administrator(office: ExplainedOffice) -> None:
    bob = office.phone(office.number())
    office.api.request("DELETE", f"/api/users/{bob.number}")
    assert office.keys(dial(office, bob.number)) == ["callee-not-registered.administrator certain"]


def test_password_changed(office: ExplainedOffice) -> None:
    bob = office.phone(office.number())
    office.api.request("PUT", f"/api/extensions/{bob.number}/password", {"generate": True})
    assert office.keys(dial(office, bob.number)) == ["callee-not-registered.credentials-changed certain"]


def test_not_seen_since_the_restart(own_office, tmp_path) -> None:
    before = ExplainedOffice(tmp_path / "0")
    before.phone("101").unregister()
    before.close()
    after = own_office()
    assert after.keys(dial(after, "101")) == ["callee-not-registered.restart certain"]


def test_ran_out(office: ExplainedOffice, short_lived: SoftPhone) -> None:
    """Registered for a second when the first test began."""
    eventually(lambda: short_lived.number not in office.numbers(), "the end of the registration")
    call = dial(office, short_lived.number)
    assert office.keys(call) == ["callee-not-registered.expired certain"]
    assert short_lived.address in office.explain(call)["findings"][0]["sentence"]


def test_nothing_listens_there(office: ExplainedOffice) -> None:
    """ICMP says so at once."""
    alice, bob = office.pair()
    bob.close()
    call = alice.call(bob.number)
    call.wait_rejected()
    assert office.keys(call) == ["callee-address-unreachable.port certain"]


def test_connection_lost_before(office: ExplainedOffice) -> None:
    alice, bob = office.pair(transport="TCP")
    bob.disconnect()
    explained_as = f"/api/users/{bob.number}/explain"
    eventually(lambda: office.api.get(explained_as)["verdict"] == "doubtful", "the loss of the connection")
    call = alice.call(bob.number)
    call.wait_rejected()
    assert office.keys(call) == ["callee-connection-lost.before certain"]


def test_connection_lost_meanwhile(office: ExplainedOffice) -> None:
    alice, bob = office.pair(transport="TCP")
    bob.automatic.discard("100")
    call = alice.call(bob.number)
    bob.expect_call()
    bob.close()
    call.wait_rejected()
    assert office.keys(call) == ["callee-connection-lost.meanwhile certain"]


def deaf_pair(office: ExplainedOffice, **options: object) -> tuple[SoftPhone, SoftPhone]:
    """The second phone gets nothing any more."""
    alice, bob = office.pair(**options)
    bob.lose("received", "INVITE", 1000)
    return alice, bob


def test_silent(impatient: ExplainedOffice) -> None:
    alice, bob = deaf_pair(impatient)
    call = alice.call(bob.number)
    call.wait_rejected()
    assert impatient.keys(call) == ["callee-silent likely"]


def test_too_large_for_one_datagram(impatient: ExplainedOffice) -> None:
    alice, bob = deaf_pair(impatient)
    call = alice.call(bob.number, ("Subject", "x" * 1500))
    call.wait_rejected()
    assert impatient.keys(call) == ["message-too-large likely", "callee-silent likely"]


def test_too_large_to_be_sent_at_all(office: ExplainedOffice) -> None:
    """By TCP 65,000 bytes come in; with our own header fields they are more than any datagram holds (RFC 768)."""
    alice, bob = office.phone(office.number(), transport="TCP"), office.phone(office.number())
    call = alice.call(bob.number, ("Subject", "x" * 64_600))
    assert call.wait_rejected().status == 480
    assert office.keys(call) == ["message-too-large certain"]


def test_of_a_call_whose_messages_are_not_kept_the_history_speaks(tmp_path: Path) -> None:
    office = ExplainedOffice(tmp_path, trace_days=0)
    alice, bob = office.pair()
    call = alice.call(bob.number)
    bob.expect_call().reject(486)
    call.wait_rejected()
    office.close()
    again = ExplainedOffice(tmp_path, trace_days=0)
    try:
        assert again.keys(call) == ["history-says.busy certain"]
    finally:
        again.close()


def test_behind_nat_and_silent(impatient: ExplainedOffice) -> None:
    alice = impatient.phone(impatient.number())
    bob = LyingPhone(impatient.server, impatient.number())
    bob.register()
    bob.lose("received", "INVITE", 1000)
    call = alice.call(bob.number)
    call.wait_rejected()
    bob.close()
    assert impatient.keys(call) == ["callee-nat-mapping-gone likely", "callee-silent likely"]


def test_the_caller_did_not_wait_for_a_silent_phone(own_office) -> None:
    office = own_office(TimerSettings(t1_s=0.015))
    alice, bob = deaf_pair(office)
    call = alice.call(bob.number)
    call.invite.wait_for(100)
    call.cancel()
    office.wait_for(call, "caller-gave-up.before-ringing certain", "callee-silent likely")


def test_sips(own_office, tls_files: TlsFiles) -> None:
    office = own_office(tls_cert=tls_files.certificate, tls_key=tls_files.key)
    office.phone("101")
    alice = office.phone("100", transport="TLS", scheme="sips")
    call = alice.call("101")
    call.wait_rejected()
    assert office.keys(call) == ["callee-without-sips certain"]


# ------------------------------------------------------------------------------------------------ refused by the server


def test_unknown_number(office: ExplainedOffice) -> None:
    assert office.keys(dial(office, "999")) == ["unknown-number certain"]


def refused(office: ExplainedOffice, phone: SoftPhone, number: str, *headers: tuple[str, str]) -> list[str]:
    call = phone.call(number, *headers)
    call.wait_rejected()
    return office.keys(call)


def test_caller_not_registered(office: ExplainedOffice) -> None:
    alice = office.unregistered(office.number())
    assert refused(office, alice, "100") == ["caller-not-let-in.not-registered-there certain"]


def test_caller_without_a_password_where_everybody_needs_one(own_office) -> None:
    office = own_office(auth_required=True)
    alice = office.unregistered("100")
    assert refused(office, alice, "101") == ["caller-not-let-in.unprotected certain"]


def test_caller_with_the_password_of_another_number(own_office) -> None:
    office = own_office(ext_passwords=(("100", "correct horse battery"), ("101", "staple of another one")))
    alice = Impostor(office.server, "100", password="correct horse battery")
    found = refused(office, alice, "101")
    alice.close()
    assert found == ["caller-not-let-in.other-number certain"]


def test_a_call_that_comes_back(office: ExplainedOffice) -> None:
    """The phone sends what it gets back to the server, as one does whose forwarding leads to itself."""
    alice, bob = office.pair()
    bob.automatic.discard("100")
    call = alice.call(bob.number)
    ring = bob.expect_call()
    returned = SipText(f"INVITE {bob.uri} SIP/2.0", [("Via", bob.new_via()), *ring.invite.headers], ring.invite.body)
    returned.set("Via", bob.new_via())
    bob.link.send(returned)
    bob.wait(lambda: bob.messages("received", "482 INVITE"), "the refusal of the loop")
    ring.reject(482)
    call.wait_rejected()
    assert office.keys(call)[0] == "loop.here certain"


def test_a_phone_that_says_loop(office: ExplainedOffice) -> None:
    assert answered_with(office, 482) == ["loop.phone certain"]


def test_foreign_contact(office: ExplainedOffice) -> None:
    number = office.number()
    alice = Impostor(office.server, number)
    office.phone(number)
    found = refused(office, alice, "100")
    alice.close()
    assert found == ["foreign-contact certain"]


def test_relaying(office: ExplainedOffice) -> None:
    alice = office.phone(office.number())
    assert refused(office, alice, "100", ("Route", "<sip:127.9.9.9;lr>")) == ["relaying-refused certain"]


def test_sips_without_tls(office: ExplainedOffice) -> None:
    alice = office.phone(office.number())
    alice.uri_of = lambda number: f"sips:{number}@127.0.0.1"  # type: ignore[method-assign]
    assert refused(office, alice, "100") == ["sips-without-tls certain"]


def test_as_many_calls_as_the_server_carries(office: ExplainedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = office.pair()
    monkeypatch.setattr(sip.calls, "MAX_CALLS", 0)
    assert refused(office, alice, bob.number) == ["server-limit.calls certain"]


def test_too_many_unanswered_calls(office: ExplainedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = office.pair()
    monkeypatch.setattr(sip.calls, "MAX_UNANSWERED_PER_SOURCE", 0)
    assert refused(office, alice, bob.number) == ["server-limit.ringing certain"]


def test_the_server_takes_no_new_calls(own_office) -> None:
    office = own_office()
    alice, bob = office.pair()
    office.server.drain()
    assert refused(office, alice, bob.number) == ["server-limit.ending certain"]


def test_no_media_ports(own_office) -> None:
    first = free_media_range(4)
    office = own_office(rtp_port=first, rtp_port_max=first + 3)
    alice, bob = office.pair()
    office.connect(alice, bob)
    assert refused(office, alice, bob.number) == ["server-limit.ports certain"]


def test_too_many_phones_for_the_call(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    office.phone(bob.number)
    assert refused(office, alice, bob.number, ("Max-Breadth", "1")) == ["server-limit.phones certain"]


def test_a_fault_of_the_server(office: ExplainedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = office.pair()
    monkeypatch.setattr("sip.proxy.breadth_shares", lambda *_: 1 / 0)
    assert refused(office, alice, bob.number) == ["server-fault certain"]


def test_ended_by_the_administrator(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call, ring = office.talk(alice, bob)
    office.api.request("DELETE", f"/api/calls/{call.call_id}")
    ring.wait_ended()
    assert office.keys(call) == ["ended-by-server.administrator certain"]
    assert office.explain(call)["verdict"] == "good"


# ------------------------------------------------------------------------------------------------ no agreement


def answered_with(
    office: ExplainedOffice,
    status: int,
    *headers: tuple[str, str],
    offer: bytes = b"",
    body: bytes = b"",
    reason: str = "",
    rings: bool = False,
) -> list[str]:
    """How a call is explained that a phone has refused so."""
    alice, bob = office.pair()
    call = _offering(alice, bob.number, offer) if offer else alice.call(bob.number)
    ring = bob.expect_call()
    if rings:
        ring.ring()
        call.wait_ringing()
    ring.request.respond(status, *headers, body=body, reason=reason)
    call.wait_rejected()
    return office.keys(call)


def _offering(alice: SoftPhone, number: str, offer: bytes):
    """A call with this offer."""

    class Offering(OutgoingCall):
        def describe(self, direction: str = "sendrecv") -> bytes:
            return offer

    return Offering(alice, number, (), offer=True)


def sdp(protocol: str, codecs: str) -> bytes:
    formats = {"G729": "18", "PCMA": "8", "PCMU": "0"}
    names = codecs.split()
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
    lines.append(f"m=audio 20000 {protocol} {' '.join(formats[name] for name in names)}")
    lines += [f"a=rtpmap:{formats[name]} {name}/8000" for name in names]
    return "\r\n".join(lines).encode() + b"\r\n"


def test_no_common_codec_with_both_lists_side_by_side(office: ExplainedOffice) -> None:
    found = answered_with(office, 488, offer=sdp("RTP/AVP", "G729"), body=sdp("RTP/AVP", "PCMA PCMU"))
    assert found == ["no-common-codec.lists certain"]


def test_no_common_codec_as_far_as_the_offer_tells(office: ExplainedOffice) -> None:
    assert answered_with(office, 488, offer=sdp("RTP/AVP", "G729")) == ["no-common-codec.offer likely"]


def test_srtp_demanded_by_the_caller_alone(office: ExplainedOffice) -> None:
    found = answered_with(office, 488, offer=sdp("RTP/SAVP", "PCMA"), body=sdp("RTP/AVP", "PCMA"))
    assert found == ["srtp-one-sided.caller certain"]


def test_srtp_demanded_by_the_callee_alone(office: ExplainedOffice) -> None:
    found = answered_with(office, 488, offer=sdp("RTP/AVP", "PCMA"), body=sdp("RTP/SAVP", "PCMA"))
    assert found == ["srtp-one-sided.callee certain"]


def test_answered_without_sound(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = alice.call(bob.number)
    ring = bob.expect_call()
    body = sdp("RTP/AVP", "PCMA").replace(b"audio 20000", b"audio 0")
    ring.request.respond(200, ("Contact", bob.contact), body=body)
    call.wait_answered()
    assert office.keys(call) == ["sound-refused certain"]


def test_a_description_that_cannot_be_read(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = _offering(alice, bob.number, b"v=0\r\nm=audio 20000 RTP/AVP 0\r\n")
    call.wait_rejected()
    assert office.keys(call) == ["broken-description certain"]


# ------------------------------------------------------------------------------------------------ declined


@pytest.mark.parametrize(
    ("status", "options", "expected"),
    [
        (486, {"reason": "Do Not Disturb"}, ["do-not-disturb.said certain"]),
        (480, {}, ["do-not-disturb.silent likely"]),
        (603, {"rings": True}, ["rejected-by-person.said certain"]),
        (486, {"rings": True}, ["rejected-by-person.rang likely", "callee-busy possible"]),
        (486, {}, ["callee-busy certain"]),
        (480, {"rings": True}, ["no-answer.phone likely"]),
        (302, {}, ["call-forwarded certain"]),
        (500, {}, ["phone-fault certain"]),
        (401, {}, ["phone-refused.password certain"]),
        (404, {}, ["phone-refused.unknown certain"]),
        (406, {}, ["phone-refused.other certain"]),
    ],
)
def test_what_a_phone_answers(office: ExplainedOffice, status: int, options: dict, expected: list[str]) -> None:
    assert answered_with(office, status, **options) == expected


def test_nobody_answered(own_office) -> None:
    office = own_office(call_setup_timeout=0.7)
    alice, bob = office.pair()
    ringing, trying = alice.call(bob.number), alice.call(bob.number)
    bob.expect_call().ring()
    bob.expect_call()
    ringing.wait_rejected()
    trying.wait_rejected()
    found = sorted(key for call in (ringing, trying) for key in office.keys(call))
    assert found == ["neither-rang-nor-answered certain", "no-answer.server certain"]


@pytest.mark.parametrize(("rings", "variant"), [(True, "rang"), (False, "before-ringing")])
def test_the_caller_gave_up(office: ExplainedOffice, rings: bool, variant: str) -> None:
    alice, bob = office.pair()
    call = alice.call(bob.number)
    ring = bob.expect_call()
    if rings:
        ring.ring()
        call.wait_ringing()
    else:
        call.invite.wait_for(100)
    call.cancel()
    office.wait_for(call, f"caller-gave-up.{variant} certain")


# ------------------------------------------------------------------------------------------------ cut off


def test_an_answer_that_is_never_acknowledged(office: ExplainedOffice) -> None:
    alice, bob = office.phone(office.number()), office.phone(office.number(), t1_s=0.01)
    alice.lose("sent", "ACK", 1000)
    call = alice.call(bob.number)
    ring = bob.expect_call()
    ring.send_answer()
    call.wait_answered()
    office.wait_for(call, "ack-missing.lost certain")


def test_an_acknowledgement_from_elsewhere(office: ExplainedOffice) -> None:
    alice, bob = office.phone(office.number()), office.phone(office.number(), t1_s=0.01)
    alice.lose("sent", "ACK", 1000)
    call = alice.call(bob.number)
    bob.expect_call().send_answer()
    call.wait_answered()
    (ack, *_) = alice.wait(lambda: alice.messages("sent", "ACK"), "the ACK")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("127.0.0.6", 0))
        elsewhere.sendto(ack.to_bytes(), ("127.0.0.1", office.server.sip_port))
        office.wait_for(call, "ack-missing.elsewhere certain")


def test_an_acknowledgement_that_the_callee_never_hears(office: ExplainedOffice) -> None:
    alice, bob = office.phone(office.number()), office.phone(office.number(), t1_s=0.01)
    bob.lose("received", "ACK", 1000)
    call = alice.call(bob.number)
    bob.expect_call().send_answer()
    call.wait_answered()
    office.wait_for(call, "ack-not-heard likely")


def test_a_session_that_nobody_refreshes(office: ExplainedOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip.call_control, "SESSION_GRACE_S", -0.95)
    alice, bob = office.pair()
    call = alice.call(bob.number)
    bob.expect_call().answer(("Session-Expires", "1"))
    call.wait_ended()
    assert office.keys(call) == ["session-expired certain"]


def test_a_caller_that_is_gone(office: ExplainedOffice) -> None:
    alice, bob = office.phone(office.number(), transport="TCP"), office.phone(office.number())
    call = alice.call(bob.number)
    ring = bob.expect_call()
    call.invite.wait_for(100)
    alice.disconnect()
    alice.close()
    ring.reject(603)
    office.wait_for(call, "rejected-by-person.said certain", "caller-vanished.gone certain")


def test_a_caller_that_never_confirms(impatient: ExplainedOffice) -> None:
    alice = impatient.phone(impatient.number())
    alice.lose("sent", "ACK", 1000)
    call = alice.call("999")
    call.wait_rejected()
    impatient.wait_for(call, "unknown-number certain", "caller-vanished.silent likely")


# ------------------------------------------------------------------------------------------------ sound


def test_one_way_sound(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call, ring = office.connect(alice, bob)
    say(call, ring)
    assert office.keys(call) == []  # the other one may still begin
    office.hang_up(call)
    assert office.keys(call) == ["one-way-audio.nothing likely"]
    finding = office.explain(call)["findings"][0]
    assert f"no sound came from {bob.number}" in finding["cause"]
    figures = {each["text"]: each["value"] for each in finding["evidence"] if each["kind"] == "figure"}
    assert (figures["callee.packets"], figures["caller.packets"]) == (0, 60)


def test_one_way_sound_because_the_other_comes_from_a_wrong_address(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call, ring = office.connect(alice, bob)
    say(ring, call)
    stranger = MediaPort("127.0.0.8")
    stranger.remote = call.media.remote
    stranger.send(*stranger.make_packets(30))
    stranger.close()
    eventually(lambda: any(each["rejected"] for each in office.open_streams()), "rejected packets")
    office.hang_up(call)
    assert office.keys(call) == ["one-way-audio.foreign certain"]


def test_one_way_sound_because_one_side_is_on_hold(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = _offering(alice, bob.number, sdp("RTP/AVP", "PCMA PCMU") + b"a=recvonly\r\n")
    ring = bob.expect_call()
    ring.answer()
    call.wait_answered()
    ring.media.send(*ring.media.make_packets(60))
    eventually(lambda: any(each["packets"] == 60 for each in office.open_streams()), "the packets")
    office.hang_up(call)
    assert office.keys(call) == ["one-way-audio.held certain"]


def test_no_sound_at_all_and_sound_that_stopped(own_office) -> None:
    office = own_office(media_timeout=0.5)
    alice, bob = office.pair()
    silent, _ = office.connect(alice, bob)
    talk, _ = office.talk(*office.pair(), packets=3)
    silent.wait_ended()
    talk.wait_ended()
    assert office.keys(silent) == ["no-audio.nothing certain"]
    assert office.keys(talk) == ["audio-stopped.both certain"]


def test_no_sound_but_that_of_strangers(own_office) -> None:
    office = own_office(media_timeout=0.5)
    call, _ = office.connect(*office.pair())
    stranger = MediaPort("127.0.0.8")
    stranger.remote = call.media.remote
    stranger.send(*stranger.make_packets(5))
    stranger.close()
    call.wait_ended()
    assert office.keys(call) == ["no-audio.foreign certain"]


def test_sound_of_one_side_that_stopped(own_office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip.call_control, "MEDIA_CHECK_S", 0.05)
    monkeypatch.setattr(sip.media_watch, "STOPPED_S", 0.2)
    office = own_office()
    alice, bob = office.pair()
    call, ring = office.talk(alice, bob)

    def is_noticed() -> bool:
        say(call, ring, 1)
        return office.keys(call) == ["audio-stopped.one certain"]

    eventually(is_noticed, "the silence of one side")
    assert bob.number in office.explain(call)["findings"][0]["cause"]
    assert office.explain(call)["verdict"] == "troubled"


def test_packets_lost_on_the_way_to_the_server(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call, ring = office.talk(alice, bob)
    packets = call.media.make_packets(120)
    for packet in packets[:60] + packets[70:]:
        call.media.send(packet)
        ring.media.receive()
    office.wait_for(call, "packets-lost.to-server certain")
    assert f"of the sound of {alice.number} got lost" in office.explain(call)["findings"][0]["cause"]


def test_packets_lost_on_the_way_from_the_server(office: ExplainedOffice) -> None:
    """All came to the server; the phone that listens reports what it has missed (RFC 3550 6.4.2)."""
    alice, bob = office.pair()
    call, ring = office.talk(alice, bob, packets=120)
    lost, newest = 30, 120
    block = struct.pack("!IIIIII", call.media.ssrc, (64 << 24) | lost, newest, 0, 0, 0)
    ring.media.send_rtcp(struct.pack("!BBHI", 0x81, 201, 7, ring.media.ssrc) + block)
    assert call.media.receive_rtcp()
    office.hang_up(call)
    office.wait_for(call, "packets-lost.from-server certain")
    assert bob.number in office.explain(call)["findings"][0]["cause"]


def test_jitter(office: ExplainedOffice) -> None:
    """Packets that say to be 60 ms apart, all at once."""
    alice, bob = office.pair()
    call, ring = office.talk(alice, bob)
    for packet in call.media.make_packets(150):
        header = RtpPacket.parse(packet)
        uneven = RtpPacket(0, header.sequence_number, header.sequence_number * 480, header.ssrc, header.payload)
        call.media.send(uneven.to_bytes())
        ring.media.receive()
    office.wait_for(call, "high-jitter certain")


# ------------------------------------------------------------------------------------------------ tampering


def test_record_route_that_comes_back_changed(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = alice.call(bob.number)
    ring = bob.expect_call()
    ring.invite.headers = [
        (name, value.replace("127.0.0.1", "192.168.7.7") if name == "Record-Route" else value)
        for name, value in ring.invite.headers
    ]
    ring.ring()
    alice.wait(lambda: alice.messages("received", "180 INVITE"), "ringing")
    assert office.keys(call) == ["sip-alg.record-route likely"]


def test_an_acknowledgement_for_another_contact(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = alice.call(bob.number)
    ring = bob.expect_call()
    call._send_ack = lambda response, body=b"": _ack_to(call, response, "sip:101@192.168.7.7:1024")  # type: ignore
    ring.answer()
    say(call, ring)
    say(ring, call)
    office.wait_for(call, "sip-alg.target likely")


def _ack_to(call, response: SipText, target: str) -> None:
    ack = call._make("ACK", response.cseq, (), b"")
    ack.start_line = f"ACK {target} SIP/2.0"
    call.phone.link.send(ack, call._next_hop())


def test_more_content_than_announced(office: ExplainedOffice) -> None:
    alice, bob = office.pair()
    call = alice.call(bob.number)
    ring = bob.expect_call()
    answer = ring.request
    response = SipText(
        "SIP/2.0 180 Ringing",
        [
            *[("Via", value) for value in answer.message.all("Via")],
            ("From", answer.message["From"]),
            ("To", f"{answer.message['To']};tag={answer.tag}"),
            ("Call-ID", answer.message.call_id),
            ("CSeq", answer.message["CSeq"]),
        ],
    )
    bob.link.send_bytes(response.to_bytes() + b"a=changed by a router\r\n", ("127.0.0.1", office.server.sip_port))
    call.wait_ringing()
    assert office.keys(call) == ["sip-alg.length likely"]


# ------------------------------------------------------------------------------------------------ click to dial


def connected(office: ExplainedOffice) -> tuple[str, IncomingCall, IncomingCall]:
    """Two phones that were asked for by the API, the first of which has answered."""
    alice, bob = office.pair()
    answer = office.api.request("POST", "/api/calls", {"from": alice.number, "to": bob.number})
    first = alice.expect_call()
    first.answer()
    return answer.json["callId"], first, bob.expect_call()


def explained(office: ExplainedOffice, call_id: str) -> tuple[str, list[str]]:
    answer = office.api.get(f"/api/calls/{quote(call_id, safe='')}/explain")
    return answer["verdict"], [key_of(finding) for finding in answer["findings"]]


def test_a_call_that_the_server_has_begun_is_good(office: ExplainedOffice) -> None:
    call_id, first, second = connected(office)
    second.answer()
    first.expect("INVITE")
    say(first, second)
    say(second, first)
    first.hang_up()
    second.wait_ended()
    assert explained(office, call_id) == ("good", [])


def test_a_call_that_the_server_has_begun_and_the_second_phone_refuses(office: ExplainedOffice) -> None:
    call_id, first, second = connected(office)
    second.reject(486)
    first.wait_ended()
    assert explained(office, call_id) == ("failed", ["callee-busy certain"])
