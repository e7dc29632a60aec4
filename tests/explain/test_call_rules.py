"""What each rule about calls says, and what not: every scene gives exactly the findings that stand beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest

import sip.calls
from explain.calls.explanation import RULES, Verdict, explain_call
from explain.rule import rule_name
from explain.texts import en
from explain.words import said, summary
from sip.credentials import Credentials, PasswordDigests
from sip.facts import Departure, Fact
from sip.snapshots import BanSnapshot, CallState, NumberRecord, TerminationReason
from sip.trace import CallTrace
from tests.explain.scene import Scene, noticed, samples, sdp, sound
from tests.support.bench_phone import FakePhone
from tests.support.harness import STARTED_AT, CoreHarness
from tests.support.stored import BINDING

SCENES: dict[str, tuple[Callable[[], Scene], list[str]]] = {}


def scene(*expected: str) -> Callable[[Callable[[], Scene]], Callable[[], Scene]]:
    """A scene and the keys of what is found in it, as `Scene.keys` writes them."""

    def add(make: Callable[[], Scene]) -> Callable[[], Scene]:
        assert make.__name__ not in SCENES
        SCENES[make.__name__] = (make, list(expected))
        return make

    return add


# ------------------------------------------------------------------------------------------------ nothing is wrong


@scene()
def a_good_call() -> Scene:
    it = Scene().register()
    caller, _ = it.talk()
    it.hang_up(caller)
    return it


@scene()
def a_call_in_progress() -> Scene:
    it = Scene().register()
    it.talk()
    it.office.advance(20.0)
    return it


@scene()
def a_phone_that_rings() -> Scene:
    it = Scene().register()
    it.ring()
    return it


@scene()
def a_short_call_without_a_packet() -> Scene:
    it = Scene(media=(sound(0, packets=0), sound(1, packets=0))).register()
    caller, _ = it.talk()
    it.hang_up(caller, 3.0)
    return it


@scene()
def a_call_on_hold_is_silent() -> Scene:
    it = Scene(media=(sound(0, packets=0), sound(1, packets=0))).register()
    caller, _ = it.talk(body=sdp().replace(b"t=0 0", b"t=0 0\r\na=inactive"))
    it.hang_up(caller)
    return it


@scene()
def an_answer_repeated_once() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.answer(received)
    it.bob.answer(received)
    it.alice.expect("100 INVITE")
    answer = it.alice.expect("200 INVITE")
    caller = it.alice.caller_dialog(invite, answer)
    caller.request("ACK")
    it.bob.expect("ACK")
    it.hang_up(caller)
    return it


# ------------------------------------------------------------------------------------------------ reaching


@scene("callee-not-registered.never certain")
def never_registered() -> Scene:
    it = Scene()
    it.alice.registered()
    it.dial()
    return it


@scene("callee-not-registered.expired certain")
def registration_ran_out() -> Scene:
    it = Scene().register()
    it.office.advance(3000.0)
    it.alice.registered()
    it.office.advance(900.0)
    it.dial()
    return it


@scene("callee-not-registered.unregistered certain")
def phone_took_its_leave() -> Scene:
    it = Scene().register()
    it.bob.register(expires=0)
    it.dial()
    return it


@scene("callee-not-registered.removed-by-another certain")
def another_phone_removed_it() -> Scene:
    it = Scene().register()
    FakePhone(it.office, "101", "192.0.2.99").register("*", expires=0)
    it.dial()
    return it


@scene("callee-not-registered.administrator certain")
def administrator_removed_it() -> Scene:
    it = Scene().register()
    it.office.core.remove_registrations("101", it.office.now)
    it.dial()
    return it


@scene("callee-not-registered.credentials-changed certain")
def password_was_changed() -> Scene:
    it = Scene().register()
    realm = it.office.config.auth_realm
    credentials = Credentials(realm, {"101": PasswordDigests.of("101", realm, "correct horse")})
    it.office.core.set_credentials(credentials, it.office.now)
    it.dial()
    return it


@scene("callee-not-registered.moved certain")
def gone_over_to_another_server() -> Scene:
    return after(Departure.MOVED)


@scene("callee-not-registered.crowded-out certain")
def crowded_out_and_the_others_gone() -> Scene:
    return after(Departure.CROWDED_OUT)


def after(why: Departure) -> Scene:
    """A call when the only registration has ended so."""
    it = Scene().register()
    (binding,) = it.office.core._exchange.location.bindings("101")
    it.office.core._exchange.location.remove(binding, why, it.office.now)
    it.dial()
    return it


@scene("callee-not-registered.restart certain")
def known_from_before_the_restart() -> Scene:
    it = Scene()
    it.office.core.restore_record(NumberRecord("101", STARTED_AT - 9_000, STARTED_AT - 100, 3))
    it.alice.registered()
    it.dial()
    return it


@scene("callee-not-registered.unknown certain")
def registered_once_nobody_knows_how_it_ended() -> Scene:
    it = Scene().register()
    it.office.core.remove_registrations("101", it.office.now)
    it.office.core._exchange.location._departures.clear()
    it.dial()
    return it


@scene("callee-server-away certain")
def registered_at_a_server_that_is_away() -> Scene:
    it = Scene()
    it.alice.registered()
    elsewhere = replace(BINDING, number="101", password_mark="", server="two", expires_at=STARTED_AT + 3_600)
    it.office.core.sharing.follow([elsewhere], (), (), it.office.now)
    it.dial()
    return it


@scene("callee-without-sips certain")
def called_by_sips() -> Scene:
    it = Scene().register()
    phone = FakePhone(it.office, "100", "192.0.2.10", connection=7)
    flow_uri = "sips:101@192.0.2.1"
    # Over TLS, as the office's harness has it by the name of the transport.
    it.office.inject(_invite(phone, flow_uri), ("192.0.2.10", 5060), "TLS", 7)
    it.call_id = "sips-call"
    return it


def _invite(phone: FakePhone, uri: str) -> bytes:
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/TLS 192.0.2.10:5060;branch=z9hG4bK-sips",
        "Max-Forwards: 70",
        f"From: <{phone.aor}>;tag=sips",
        f"To: <{uri}>",
        "Call-ID: sips-call",
        "CSeq: 1 INVITE",
        "Contact: <sips:100@192.0.2.10:5061>",
        "Content-Length: 0",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@scene("callee-address-unreachable.port certain")
def port_unreachable() -> Scene:
    it = Scene().register()
    it.dial()
    sent = it.bob.expect_sent("INVITE")
    it.office.core.undelivered(it.bob.host, it.bob.port, sent.data, "port unreachable", it.office.now)
    return it


@scene("callee-address-unreachable.host likely", "callee-silent likely")
def host_unreachable_by_a_word_that_may_be_forged() -> Scene:
    it = Scene().register()
    it.dial()
    it.bob.expect("INVITE")
    it.office.core.undelivered(it.bob.host, it.bob.port, b"", "host unreachable", it.office.now)
    it.office.advance(33.0)
    return it


@scene("callee-connection-lost.before certain")
def connection_lost_before() -> Scene:
    it = Scene()
    it.alice.registered()
    it.bob = FakePhone(it.office, "101", "192.0.2.11", connection=5).registered()
    it.office.close_connection(("192.0.2.11", 5060), 5)
    it.office.unreachable.add("192.0.2.11")
    it.office.advance(60.0)
    it.dial()
    return it


@scene("callee-connection-lost.meanwhile certain")
def connection_lost_meanwhile() -> Scene:
    it = Scene()
    it.alice.registered()
    it.bob = FakePhone(it.office, "101", "192.0.2.11", connection=5).registered()
    it.dial()
    it.bob.expect("INVITE")
    it.office.close_connection(("192.0.2.11", 5060), 5)
    return it


@scene("callee-banned certain", "callee-silent likely")
def callee_is_banned() -> Scene:
    it = Scene(bans=[BanSnapshot("192.0.2.11", STARTED_AT - 5, None, "10 wrong passwords", 10)]).register()
    it.dial()
    it.office.advance(33.0)
    return it


@scene("message-too-large likely", "callee-silent likely")
def too_large_for_one_packet() -> Scene:
    it = Scene().register()
    it.dial(headers=(("Subject", "x" * 1500),))
    it.office.advance(33.0)
    return it


@scene("message-too-large certain")
def too_large_to_be_sent() -> Scene:
    it = Scene().register()
    it.dial(headers=(("Subject", "x" * 1500),))
    sent = it.bob.expect_sent("INVITE")
    assert sent.effect.transaction is not None
    it.office.core.transport_error(sent.effect.transaction, "[Errno 90] Message too long", it.office.now)
    return it


@scene("callee-nat-mapping-gone likely", "callee-silent likely")
def behind_nat_and_silent() -> Scene:
    it = Scene()
    it.alice.registered()
    it.bob = FakePhone(it.office, "101", "203.0.113.5", 40_000, own="10.0.0.5:5060").registered()
    it.dial()
    it.office.advance(33.0)
    return it


@scene("callee-silent likely")
def silent() -> Scene:
    it = Scene().register()
    it.dial()
    it.office.advance(33.0)
    return it


@scene("caller-gave-up.before-ringing certain", "callee-silent likely")
def hung_up_because_nothing_happened() -> Scene:
    it = Scene().register()
    invite = it.dial()
    it.office.advance(5.0)
    it.alice.cancel(invite)
    it.office.advance(33.0)
    return it


# ------------------------------------------------------------------------------------------------ refusing


@scene("unknown-number certain")
def no_such_number() -> Scene:
    it = Scene().register()
    it.dial("999")
    return it


@scene("loop.here certain")
def came_back() -> Scene:
    it = Scene().register()
    it.dial()
    sent = it.bob.expect_sent("INVITE")
    it.office.inject(sent.data.replace(b"sip:101@192.0.2.11:5060", b"sip:101@192.0.2.1"), ("192.0.2.10", 5060))
    it.office.core.end_calls(TerminationReason.ERROR, "the call came back to this server in a loop", it.office.now)
    return it


@scene("loop.phone certain")
def phone_says_loop() -> Scene:
    it = Scene().register()
    it.dial()
    it.bob.respond(it.bob.expect("INVITE"), 482, "Loop Detected")
    return it


@scene("foreign-contact certain")
def contact_of_somebody_else() -> Scene:
    it = Scene().register()
    it.dial(headers=(("Contact", "<sip:100@192.0.2.1:5060>"),))
    return it


@scene("relaying-refused certain")
def wanted_to_be_relayed() -> Scene:
    it = Scene().register()
    it.dial(headers=(("Route", "<sip:203.0.113.9;lr>"),))
    return it


@scene("sips-without-tls certain")
def sips_by_udp() -> Scene:
    it = Scene().register()
    it.call_id = it.alice.send_request("INVITE", "sips:101@192.0.2.1").call_id
    return it


@scene("server-limit.calls certain")
def as_many_calls_as_there_may_be() -> Scene:
    it = Scene().register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sip.calls, "MAX_CALLS", 0)
        it.dial()
    return it


@scene("server-limit.ringing certain")
def too_many_ring() -> Scene:
    it = Scene().register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sip.calls, "MAX_UNANSWERED_PER_SOURCE", 0)
        it.dial()
    return it


@scene("server-limit.ending certain")
def server_is_draining() -> Scene:
    it = Scene().register()
    it.office.core.drain()
    it.dial()
    return it


@scene("server-limit.ports certain")
def no_media_ports() -> Scene:
    it = Scene().register()
    it.office.relay.free = 0
    it.dial()
    return it


@scene("server-limit.phones certain")
def too_many_phones() -> Scene:
    it = Scene().register()
    FakePhone(it.office, "101", "192.0.2.12").registered()
    it.dial(headers=(("Max-Breadth", "1"),))
    return it


@scene("server-fault certain")
def a_fault_of_ours() -> Scene:
    it = Scene().register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sip.proxy.breadth_shares", lambda *_: 1 / 0)
        it.dial()
    return it


@scene("ended-by-server.administrator certain")
def hung_up_by_the_administrator() -> Scene:
    it = Scene().register()
    it.talk()
    it.office.core.end_calls(TerminationReason.ADMIN, "ended by the administrator", it.office.now)
    return it


@scene("ended-by-server.interrupted certain")
def the_server_was_gone() -> Scene:
    it = a_good_call()
    it.more = {"call": it.trace.call._replace(termination_reason=TerminationReason.INTERRUPTED)}
    return it


# ------------------------------------------------------------------------------------------------ negotiating


@scene("no-common-codec.lists certain")
def codecs_side_by_side() -> Scene:
    it = Scene().register()
    it.dial(body=sdp(codecs="18 G729, 9 G722"))
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here", body=sdp(codecs="0 PCMU, 8 PCMA"))
    return it


@scene("no-common-codec.offer likely")
def codecs_refused_without_a_list() -> Scene:
    it = Scene().register()
    it.dial(body=sdp(codecs="18 G729"))
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here")
    return it


@scene("phone-refused.other certain")
def refused_for_something_else_than_codecs() -> Scene:
    """A list in common: the codecs are not the reason, whatever is."""
    it = Scene().register()
    it.dial()
    it.bob.respond(it.bob.expect("INVITE"), 420, "Bad Extension")
    return it


@scene("srtp-one-sided.caller certain")
def caller_insists_on_srtp() -> Scene:
    it = Scene().register()
    it.dial(body=sdp("RTP/SAVP"))
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here", body=sdp())
    return it


@scene("srtp-one-sided.caller likely", "no-common-codec.offer possible")
def caller_insists_on_srtp_and_the_phone_says_little() -> Scene:
    it = Scene().register()
    it.dial(body=sdp("RTP/SAVP"))
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here")
    return it


@scene("srtp-one-sided.callee certain")
def callee_insists_on_srtp() -> Scene:
    it = Scene().register()
    it.dial()
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here", body=sdp("RTP/SAVP"))
    return it


@scene("srtp-one-sided.callee likely", "no-common-codec.offer possible")
def callee_warns_of_the_transport() -> Scene:
    it = Scene().register()
    it.dial()
    warning = ("Warning", '302 192.0.2.11 "Incompatible transport protocol"')
    it.bob.respond(it.bob.expect("INVITE"), 488, "Not Acceptable Here", headers=(warning,))
    return it


@scene("sound-refused certain")
def answered_without_sound() -> Scene:
    it = Scene(media=()).register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.respond(received, 200, "OK", body=sdp(port=0))
    it.alice.expect("100 INVITE")
    caller = it.alice.caller_dialog(invite, it.alice.expect("200 INVITE"))
    caller.request("ACK")
    it.bob.expect("ACK")
    it.hang_up(caller)
    return it


@scene("broken-description certain")
def offer_that_cannot_be_read() -> Scene:
    it = Scene().register()
    it.dial(body=b"v=0\r\nm=audio 20000 RTP/AVP 0\r\n")
    return it


# ------------------------------------------------------------------------------------------------ declining


def declined(status: int, phrase: str, *, rang: bool = False, after_s: float = 0.0, **more: object) -> Scene:
    it = Scene().register()
    it.dial()
    received = it.bob.expect("INVITE")
    if rang:
        it.bob.respond(received, 180, "Ringing")
        it.office.advance(after_s)
    it.bob.respond(received, status, phrase, **more)  # type: ignore[arg-type]
    return it


@scene("do-not-disturb.said certain")
def says_do_not_disturb() -> Scene:
    return declined(486, "Do Not Disturb")


@scene("do-not-disturb.silent likely")
def turns_away_without_ringing() -> Scene:
    return declined(480, "Temporarily Unavailable")


@scene("rejected-by-person.said certain")
def declines() -> Scene:
    return declined(603, "Decline", rang=True, after_s=2.0)


@scene("rejected-by-person.rang likely", "callee-busy possible")
def busy_after_ringing() -> Scene:
    return declined(486, "Busy Here", rang=True, after_s=2.0)


@scene("callee-busy certain")
def busy_at_once() -> Scene:
    return declined(486, "Busy Here")


@scene("no-answer.server certain")
def rang_in_vain() -> Scene:
    it = Scene(CoreHarness(call_setup_timeout=20.0)).register()
    received = it.ring()
    it.office.advance(20.5)
    it.bob.respond(received, 487, "Request Terminated")
    return it


@scene("no-answer.phone certain")
def phone_gave_up_ringing() -> Scene:
    return declined(480, "Temporarily Unavailable", rang=True, after_s=30.0)


@scene("no-answer.phone likely")
def phone_gave_up_soon() -> Scene:
    return declined(480, "Temporarily Unavailable", rang=True, after_s=3.0)


@scene("neither-rang-nor-answered certain")
def trying_for_ever() -> Scene:
    it = Scene(CoreHarness(call_setup_timeout=20.0)).register()
    it.dial()
    received = it.bob.expect("INVITE")
    it.bob.respond(received, 100, "Trying")
    it.office.advance(20.5)
    it.bob.respond(received, 487, "Request Terminated")
    return it


@scene("caller-gave-up.rang certain")
def hung_up_while_it_rang() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.respond(received, 180, "Ringing")
    it.office.advance(4.0)
    it.alice.cancel(invite)
    it.bob.respond(received, 487, "Request Terminated")
    return it


@scene("caller-gave-up.before-ringing certain")
def hung_up_before_it_rang() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.respond(received, 100, "Trying")
    it.alice.cancel(invite)
    it.bob.respond(received, 487, "Request Terminated")
    return it


@scene("call-forwarded certain")
def forwarded() -> Scene:
    return declined(302, "Moved Temporarily", headers=(("Contact", "<sip:105@192.0.2.1>"),))


@scene("phone-fault certain")
def phone_in_trouble() -> Scene:
    return declined(500, "Server Internal Error")


@scene("phone-refused.password certain")
def phone_asks_for_a_password() -> Scene:
    return declined(401, "Unauthorized")


@scene("phone-refused.unknown certain")
def phone_does_not_know_its_number() -> Scene:
    return declined(404, "Not Found")


@scene("phone-refused.other certain")
def phone_refuses() -> Scene:
    return declined(406, "Not Acceptable")


# ------------------------------------------------------------------------------------------------ holding


def never_acknowledged(alice_host: str = "192.0.2.10", **settings: object) -> Scene:
    it = Scene(CoreHarness(**settings))
    it.alice = FakePhone(it.office, "100", alice_host)
    it.register()
    it.dial()
    received = it.bob.expect("INVITE")
    callee = it.bob.answer(received)
    for _ in range(10):
        it.office.advance(3.0)
        it.bob.answer(received)
    callee.request("BYE")
    return it


@scene("ack-missing.lost certain")
def no_ack() -> Scene:
    return never_acknowledged()


@scene("ack-missing.address certain")
def no_ack_from_the_internet_to_a_private_address() -> Scene:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.harness.local_host", lambda _host: "192.168.1.2")
        return never_acknowledged("8.8.4.4")


@scene("ack-missing.elsewhere certain")
def ack_from_elsewhere() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    callee = it.bob.answer(received)
    it.alice.expect("100 INVITE")
    caller = it.alice.caller_dialog(invite, it.alice.expect("200 INVITE"))
    it.alice.host = "192.0.2.77"
    caller.request("ACK")
    for _ in range(4):
        it.office.advance(3.0)
        it.bob.answer(received)
    callee.request("BYE")
    return it


@scene("ack-not-heard likely")
def ack_not_heard() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    callee = it.bob.answer(received)
    it.alice.expect("100 INVITE")
    caller = it.alice.caller_dialog(invite, it.alice.expect("200 INVITE"))
    for _ in range(4):
        caller.request("ACK")
        it.office.advance(3.0)
        it.bob.answer(received)
    callee.request("BYE")
    return it


@scene()
def no_ack_can_be_missed_where_the_record_has_gaps() -> Scene:
    it = never_acknowledged()
    it.more = {"dropped": 3}
    return it


@scene("session-expired certain")
def nobody_refreshed() -> Scene:
    it = Scene(CoreHarness(media_timeout=0.0)).register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.answer(received, headers=(("Session-Expires", "90;refresher=uac"),))
    it.alice.expect("100 INVITE")
    it.alice.caller_dialog(invite, it.alice.expect("200 INVITE")).request("ACK")
    it.office.advance(123.0)
    return it


@scene("unknown-number certain", "caller-vanished.gone certain")
def caller_is_gone() -> Scene:
    it = Scene().register()
    it.office.unreachable.add("192.0.2.10")
    it.dial("999")
    return it


@scene("unknown-number certain", "caller-vanished.silent likely")
def caller_never_confirms() -> Scene:
    it = Scene().register()
    it.dial("999")
    it.office.advance(33.0)
    return it


# ------------------------------------------------------------------------------------------------ sounding


def talked(*media: object, after_s: float = 20.0, **more: object) -> Scene:
    it = Scene(media=media).register()  # type: ignore[arg-type]
    caller, _ = it.talk(**more)
    it.hang_up(caller, after_s)
    return it


@scene("no-audio.nothing certain")
def silence() -> Scene:
    return talked(sound(0, packets=0), sound(1, packets=0))


@scene("no-audio.foreign certain")
def silence_and_strangers() -> Scene:
    return talked(sound(0, packets=0, rejected=90), sound(1, packets=0))


@scene("one-way-audio.nothing likely")
def callee_is_not_heard() -> Scene:
    return talked(sound(0), sound(1, packets=0))


@scene()
def callee_is_not_heard_yet() -> Scene:
    it = Scene(media=(sound(0), sound(1, packets=0))).register()
    it.talk()
    it.office.advance(1.0)
    return it


@scene("one-way-audio.nothing likely")
def callee_is_not_heard_while_the_call_lasts() -> Scene:
    it = Scene(media=(sound(0), sound(1, packets=0))).register()
    it.talk()
    it.office.advance(3.0)
    return it


@scene("one-way-audio.foreign certain")
def caller_sends_from_elsewhere() -> Scene:
    return talked(sound(0, packets=0, rejected=400), sound(1))


@scene("one-way-audio.held certain")
def caller_is_muted() -> Scene:
    return talked(sound(0, packets=0), sound(1), body=sdp().replace(b"t=0 0", b"t=0 0\r\na=recvonly"))


@scene()
def a_few_packets_prove_nothing() -> Scene:
    return talked(sound(0, packets=10), sound(1, packets=0))


@scene("one-way-audio.nothing likely", "private-address-in-sdp likely")
def private_address() -> Scene:
    it = Scene(media=(sound(0, packets=0), sound(1)))
    it.alice = FakePhone(it.office, "100", "8.8.4.4")
    it.register()
    caller, _ = it.talk(body=sdp(host="192.168.1.50"))
    it.hang_up(caller)
    return it


@scene("audio-stopped.one certain")
def one_side_stopped() -> Scene:
    it = talked(sound(0), sound(1))
    it.noticed = [noticed(Fact.AUDIO_STOPPED, STARTED_AT + 15, side=0, since=STARTED_AT + 4.0)]
    return it


@scene()
def one_side_stopped_and_came_back() -> Scene:
    it = talked(sound(0), sound(1))
    it.noticed = [
        noticed(Fact.AUDIO_STOPPED, STARTED_AT + 15, side=0, since=STARTED_AT + 4.0),
        noticed(Fact.AUDIO_STARTED, STARTED_AT + 18, side=0, since=STARTED_AT + 17.0, again=1),
    ]
    return it


@scene("audio-stopped.both certain")
def both_stopped() -> Scene:
    it = talked(sound(0), sound(1))
    it.noticed = [noticed(Fact.AUDIO_STOPPED, STARTED_AT + 15, since=STARTED_AT + 4.0)]
    return it


@scene("audio-stopped.both certain")
def both_stopped_until_the_server_hung_up() -> Scene:
    it = talked(sound(0, last_packet_at=STARTED_AT + 5), sound(1, last_packet_at=STARTED_AT + 4))
    it.noticed = [noticed(Fact.MEDIA_TIMEOUT, STARTED_AT + 15, limit=10.0)]
    return it


@scene("packets-lost.to-server certain")
def lost_on_the_way_here() -> Scene:
    return talked(sound(0, lost=40), sound(1))


@scene("packets-lost.from-server certain")
def lost_on_the_way_there() -> Scene:
    it = talked(sound(0), sound(1))
    it.more = {"quality": (samples(0, remote_lost=60),)}
    return it


@scene("high-jitter certain")
def uneven() -> Scene:
    return talked(sound(0), sound(1, jitter_ms=45.0))


# ------------------------------------------------------------------------------------------------ tampering


@scene("sip-alg.record-route likely")
def record_route_changed() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    received.headers = [
        (name, value.replace("192.0.2.1:", "192.168.7.1:") if name == "Record-Route" else value)
        for name, value in received.headers
    ]
    it.bob.answer(received)
    it.alice.expect("100 INVITE")
    caller = it.alice.caller_dialog(invite, it.alice.expect("200 INVITE"))
    caller.route_set = ["<sip:192.0.2.1:5060;lr>"]
    caller.request("ACK")
    it.bob.expect("ACK")
    it.hang_up(caller)
    return it


@scene("sip-alg.target likely")
def target_changed() -> Scene:
    it = Scene().register()
    invite = it.dial()
    received = it.bob.expect("INVITE")
    it.bob.answer(received)
    it.alice.expect("100 INVITE")
    caller = it.alice.caller_dialog(invite, it.alice.expect("200 INVITE"))
    right, caller.target = caller.target, "sip:101@192.168.7.1:1024"
    caller.request("ACK")
    caller.target = right
    it.bob.expect("ACK")
    it.hang_up(caller)
    return it


@scene("sip-alg.length likely")
def longer_than_announced() -> Scene:
    it = Scene().register()
    it.alice.inject = lambda data: FakePhone.inject(it.alice, data + b"a=x\r\n")  # type: ignore[method-assign,operator]
    it.ring()
    return it


@scene("sip-alg.via possible")
def public_in_via_private_in_contact() -> Scene:
    it = Scene().register()
    it.alice = FakePhone(it.office, "100", "8.8.4.4").registered()
    it.ring(headers=(("Contact", "<sip:100@192.168.1.50:5060>"),))
    return it


# ------------------------------------------------------------------------------------------------ the history alone


def forgotten(reason: TerminationReason, status: int = 480) -> Scene:
    it = a_good_call()
    answered_at = it.trace.call.answered_at if reason is TerminationReason.MEDIA_TIMEOUT else None
    call = it.trace.call._replace(
        state=CallState.TERMINATED,
        termination_reason=reason,
        status=status,
        answered_at=answered_at,
        reason_text="so it says",
    )
    it.more = {"call": call, "entries": (), "streams": (), "is_kept": False}
    it.media = ()
    return it


for _reason in TerminationReason:
    if _reason not in (TerminationReason.NORMAL, TerminationReason.ADMIN, TerminationReason.INTERRUPTED):

        def _make(reason: TerminationReason = _reason) -> Scene:
            return forgotten(reason)

        _make.__name__ = f"forgotten_{_reason.name.lower()}"
        scene(f"history-says.{_reason.value} certain")(_make)


# ------------------------------------------------------------------------------------------------ the tests


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_explained_by_what_happened_in_it_and_nothing_else(name: str) -> None:
    make, expected = SCENES[name]
    assert make().keys() == expected


def test_callers_that_are_not_let_in_are_explained_from_their_line_in_the_history() -> None:
    """The rules for them are met on the wire (tests/e2e/test_explanations.py); here, that none of them speaks twice."""
    keys = {key for key in en.TEXTS if key.startswith("caller-not-let-in.")}
    assert len(keys) == 4


def test_every_rule_and_every_text_about_calls_has_its_scene() -> None:
    shown = {expected.split()[0] for _, found in SCENES.values() for expected in found}
    names = {rule_name(rule) for rule in RULES}
    about_calls = {key for key in en.TEXTS if key.partition(".")[0] in names}
    assert about_calls - shown == {key for key in about_calls if key.startswith("caller-not-let-in.")}


def test_of_equal_causes_the_one_whose_rule_stands_first_is_told_first() -> None:
    keys = SCENES["caller_is_gone"][0]().keys()
    assert keys[0].startswith("unknown-number")


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("a_good_call", Verdict.GOOD, "100 and 101 talked for 20 s, and all was well: 0 % of the sound lost"),
        ("a_call_in_progress", Verdict.GOOD, "100 and 101 have been talking for 20 s, and all is well"),
        ("a_phone_that_rings", Verdict.RINGING, "100 is calling 101, whose phone rings."),
        ("busy_at_once", Verdict.FAILED, "100 called 101, and no call came about: 101 is busy."),
        ("no_ack", Verdict.TROUBLED, "100 and 101 were connected for 30 s, but the phone of 100 never acknowledged"),
    ],
)
def test_the_sentence_on_top(name: str, verdict: Verdict, words: str) -> None:
    explanation = SCENES[name][0]().explain()
    assert explanation.verdict is verdict
    cause = said(explanation.findings[0], "en").cause if explanation.findings else ""
    assert summary(explanation.summary, {**explanation.words, "cause": cause}, "en").startswith(words)


@pytest.mark.parametrize(("hangs_up", "words"), [(True, "talked for 20 s"), (False, "have been talking for 0 s")])
def test_poor_figures_of_a_few_packets_are_not_called_well(hangs_up: bool, words: str) -> None:
    it = Scene().register()
    caller, _ = it.talk()
    if hangs_up:
        it.hang_up(caller)
    it.media = (sound(0, packets=30, lost=8, mos=2.4), sound(1, packets=30))
    explanation = it.explain()
    assert (explanation.verdict, explanation.findings) == (Verdict.GOOD, ())
    said_on_top = summary(explanation.summary, explanation.words, "en")
    assert said_on_top.startswith(f"100 and 101 {words}, too short to judge the sound: 21.1 % of it lost")


def test_a_call_that_nothing_explains_is_not_explained() -> None:
    call = a_good_call().trace.call._replace(answered_at=None, status=480)
    explanation = explain_call(CallTrace(call), (), STARTED_AT)
    assert (explanation.findings, explanation.summary) == ((), "failed-unexplained")


def test_the_evidence_of_a_message_is_its_place_in_the_record() -> None:
    it = busy_at_once()
    (finding,) = it.explain().findings
    (evidence,) = finding.evidence
    assert evidence.entry is not None
    entry = it.trace.entries[evidence.entry]
    assert (entry.fact, entry.details["status"], evidence.at) == ("declined", 486, entry.at)


def test_networks_of_the_bench_are_trusted() -> None:
    assert ip_network("0.0.0.0/0") in CoreHarness().config.trusted_networks
