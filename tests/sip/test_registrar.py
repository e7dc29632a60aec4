"""sip/registrar.py: REGISTER as RFC 3261 10.3 wants it, and as real phones send it."""

from __future__ import annotations

import pytest

from sip.location import MAX_BINDINGS_PER_NUMBER
from sip.snapshots import ContactSnapshot
from tests.support.bench_phone import FakePhone
from tests.support.harness import STARTED_AT, CoreHarness


@pytest.fixture
def phone(office: CoreHarness) -> FakePhone:
    """100, not registered yet."""
    return FakePhone(office, "100", "192.0.2.10")


def contacts(office: CoreHarness, number: str = "100") -> list[ContactSnapshot]:
    return [
        contact
        for registration in office.core.registrations(office.now)
        if registration.number == number
        for contact in registration.contacts
    ]


def uris(office: CoreHarness, number: str = "100") -> set[str]:
    return {contact.uri for contact in contacts(office, number)}


A, B, C = "<sip:100@192.0.2.10:5060>", "<sip:100@192.0.2.10:5070>", "<sip:100@192.0.2.10:5080>"


# ------------------------------------------------------------------------------------------------ steps 1 to 5


def test_10_3_step_2_unknown_require_is_420_and_names_it(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(headers=(("Require", "gruu, teleport"),))
    assert phone.expect("420 REGISTER")["Unsupported"] == "gruu, teleport"
    assert contacts(office) == []


@pytest.mark.parametrize("number", ["99", "111", "0100", "100a", "alice", ""])
def test_10_3_step_5_number_outside_the_range_is_404(phone: FakePhone, office: CoreHarness, number: str) -> None:
    phone.register(to=f"<sip:{number}@192.0.2.1>" if number else "<sip:192.0.2.1>")
    assert "100-110" in phone.expect("404 REGISTER").reason
    assert office.core.registrations(office.now) == ()


def test_10_3_step_5_the_escaped_number_is_the_number(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(to="<sip:%31%30%30@192.0.2.1>")
    phone.expect("200 REGISTER")
    assert uris(office) == {"sip:100@192.0.2.10:5060"}


def test_10_3_step_5_an_escape_is_removed_exactly_once(phone: FakePhone) -> None:
    phone.register(to="<sip:%2531%30%30@192.0.2.1>")
    phone.expect("404 REGISTER")


@pytest.mark.parametrize(
    "to", ["sip:100@192.0.2.1", "<sip:100@office.example:5080>", "<tel:1-0-0>", '"One, Hundred" <sip:100@192.0.2.1>']
)
def test_the_number_is_matched_by_user_alone(phone: FakePhone, office: CoreHarness, to: str) -> None:
    phone.register(to=to)
    phone.expect("200 REGISTER")
    assert uris(office) == {"sip:100@192.0.2.10:5060"}


# ------------------------------------------------------------------------------------------------ expiry


def test_10_2_3_without_contact_it_is_a_query(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A, B)
    phone.expect("200 REGISTER")
    phone.register("", expires=None)
    response = phone.expect("200 REGISTER")
    assert {value.partition(";")[0] for value in response.all("Contact")} == {A, B}
    assert uris(office) == {A[1:-1], B[1:-1]}


def test_10_2_3_query_of_a_number_without_bindings_is_200_without_contact(phone: FakePhone) -> None:
    phone.register("", expires=None)
    assert "Contact" not in phone.expect("200 REGISTER")


def test_10_3_step_8_every_binding_is_listed_with_what_is_left(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A, expires=600)
    assert phone.expect("200 REGISTER")["Contact"] == f"{A};expires=600"
    office.advance(100.4)
    phone.register("", expires=None)
    assert phone.expect("200 REGISTER")["Contact"] == f"{A};expires=500"


def test_10_3_step_8_a_date_is_given(phone: FakePhone) -> None:
    phone.register()
    assert phone.expect("200 REGISTER")["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        (f"{A};expires=600", 1200, 600),
        (A, 1200, 1200),
        (A, None, 3600),
        (f"{A};expires=nonsense", 1200, 1200),
        (f"{A};expires=999999999999", None, 86400),
        (A, 99999999, 86400),
        ("sip:100@192.0.2.10;expires=600", None, 600),
        (f"{A};EXPIRES = 600", None, 600),
    ],
)
def test_10_3_step_7_expiry_by_contact_by_header_by_default(
    phone: FakePhone, contact: str, expires: int | None, granted: int
) -> None:
    phone.register(contact, expires=expires)
    assert phone.expect("200 REGISTER")["Contact"].endswith(f"expires={granted}")


def test_10_3_step_7_several_contacts_each_with_its_own_expiry(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(f"{A};expires=100", f"{B};expires=200, {C}", expires=300)
    phone.expect("200 REGISTER")
    assert {contact.uri: contact.expires_s for contact in contacts(office)} == {
        A[1:-1]: 100,
        B[1:-1]: 200,
        C[1:-1]: 300,
    }
    office.advance(150)
    assert uris(office) == {B[1:-1], C[1:-1]}


def test_10_2_8_too_brief_is_423_with_min_expires(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(expires=59)
    assert phone.expect("423 REGISTER")["Min-Expires"] == "60"
    assert contacts(office) == []
    phone.register(expires=60)
    phone.expect("200 REGISTER")


def test_10_3_refusal_is_all_or_nothing(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A)
    phone.expect("200 REGISTER")
    phone.register(f"{A};expires=0", f"{B};expires=600", f"{C};expires=5")
    phone.expect("423 REGISTER")
    assert uris(office) == {A[1:-1]}


@pytest.mark.parametrize("contact", ["<sip:100@", "<mailto:a@b.example>", "<tel:100>", "<sip:100@h:99999>", '"x'])
def test_a_contact_that_cannot_be_used_is_answered_with_400(
    phone: FakePhone, office: CoreHarness, contact: str
) -> None:
    phone.register(B, contact)
    phone.expect("400 REGISTER")
    assert contacts(office) == []


def test_10_2_4_refresh_keeps_one_binding_and_extends_it(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(expires=100)
    phone.expect("200 REGISTER")
    office.advance(90)
    phone.register(expires=100)
    phone.expect("200 REGISTER")
    office.advance(90)
    (contact,) = contacts(office)
    assert (contact.expires_s, contact.registered_at, contact.last_seen_at) == (10, STARTED_AT, STARTED_AT + 90)
    office.advance(10)
    assert contacts(office) == []


def test_refresh_with_a_shorter_expiry_ends_earlier(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(expires=3600)
    phone.expect("200 REGISTER")
    phone.register(expires=60)
    phone.expect("200 REGISTER")
    office.advance(60)
    assert contacts(office) == []


def test_refreshes_cost_no_timers(phone: FakePhone, office: CoreHarness) -> None:
    phone.register()
    phone.expect("200 REGISTER")
    office.advance(40)
    timers = len(office.core._exchange.timers)
    for _ in range(50):
        phone.register()
        office.advance(40)
    assert len(office.core._exchange.timers) == timers
    office.forget()


def test_10_2_2_expires_0_removes_only_that_contact(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A, B)
    phone.expect("200 REGISTER")
    phone.register(f"{A};expires=0")
    response = phone.expect("200 REGISTER")
    assert [value.partition(";")[0] for value in response.all("Contact")] == [B]


def test_10_2_2_removing_what_is_not_there_is_no_error(phone: FakePhone) -> None:
    phone.register(expires=0)
    assert "Contact" not in phone.expect("200 REGISTER")


def test_10_2_2_star_removes_everything(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A, B)
    phone.expect("200 REGISTER")
    phone.register("*", expires=0)
    assert "Contact" not in phone.expect("200 REGISTER")
    assert contacts(office) == []


@pytest.mark.parametrize(("values", "expires"), [(("*",), 60), (("*",), None), (("*", A), 0)])
def test_10_3_step_6_star_needs_expires_0_and_stands_alone(
    phone: FakePhone, office: CoreHarness, values: tuple[str, ...], expires: int | None
) -> None:
    phone.register(B)
    phone.expect("200 REGISTER")
    phone.register(*values, expires=expires)
    phone.expect("400 REGISTER")
    assert uris(office) == {B[1:-1]}


# ------------------------------------------------------------------------------------------------ Call-ID and CSeq


@pytest.mark.parametrize("contact", [A, f"{A};expires=0"])
def test_10_3_step_7_cseq_must_grow_within_one_call_id(phone: FakePhone, office: CoreHarness, contact: str) -> None:
    phone.register(A, expires=600)
    phone.expect("200 REGISTER")
    office.advance(10)
    phone.register_cseq -= 1
    phone.register(contact)
    phone.expect("500 REGISTER")
    assert [each.expires_s for each in contacts(office)] == [590]


def test_10_3_step_6_star_obeys_the_cseq_rule_too(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A)
    phone.expect("200 REGISTER")
    phone.register_cseq -= 1
    phone.register("*", expires=0)
    phone.expect("500 REGISTER")
    assert uris(office) == {A[1:-1]}


def test_10_3_step_7_another_call_id_may_start_anywhere(office: CoreHarness, phone: FakePhone) -> None:
    phone.register_cseq = 50
    phone.register(A)
    phone.expect("200 REGISTER")
    rebooted = FakePhone(office, "100", "192.0.2.10", port=5061)
    rebooted.register(A, expires=120)
    rebooted.expect("200 REGISTER")
    assert [(each.uri, each.expires_s) for each in contacts(office)] == [(A[1:-1], 120)]


def test_17_2_2_a_repeated_register_gets_the_same_answer_and_changes_nothing(
    phone: FakePhone, office: CoreHarness
) -> None:
    first = phone.send_request(
        "REGISTER", "sip:192.0.2.1", to=f"<{phone.aor}>", headers=(("Contact", A), ("Expires", "600"))
    )
    answer = phone.expect_sent("200 REGISTER").data
    office.advance(1)
    phone.inject(first.to_bytes())
    assert phone.expect_sent("200 REGISTER").data == answer
    assert [each.expires_s for each in contacts(office)] == [599]


def test_19_1_4_two_spellings_of_one_contact_are_one_binding(phone: FakePhone, office: CoreHarness) -> None:
    phone.register("<sip:%31%30%30@Host.Example>;q=0.1", "<sip:100@host.example>;q=0.2")
    phone.expect("200 REGISTER")
    assert uris(office) == {"sip:100@host.example"}
    phone.register("<sip:1%30%30@HOST.example>")
    phone.expect("200 REGISTER")
    assert uris(office) == {"sip:1%30%30@HOST.example"}


# ------------------------------------------------------------------------------------------------ to the letter


@pytest.mark.parametrize(
    ("contact", "echoed"),
    [
        ("<sip:100-0x5616078f27f0@192.0.2.10:5060>", "<sip:100-0x5616078f27f0@192.0.2.10:5060>"),
        ("<sip:100@192.0.2.10:5060;ob>", "<sip:100@192.0.2.10:5060;ob>"),
        ('"Phone" <sip:100@192.0.2.10;transport=UDP>;q=0.5', "<sip:100@192.0.2.10;transport=UDP>;q=0.5"),
        (
            '<sip:100@192.0.2.10>;+sip.instance="<urn:uuid:aB>";reg-id=1;expires=600',
            '<sip:100@192.0.2.10>;+sip.instance="<urn:uuid:aB>";reg-id=1',
        ),
        ('<sip:100@192.0.2.10>;expires=600;note="a;expires=1;b"', '<sip:100@192.0.2.10>;note="a;expires=1;b"'),
        ('"<sip:100@192.0.2.10>" <sip:100@192.0.2.10>;x=Y', "<sip:100@192.0.2.10>;x=Y"),
        ("sip:100@192.0.2.10;q=0.3;expires=600", "<sip:100@192.0.2.10>;q=0.3"),
        ("<sip:%61%2f@192.0.2.10>", "<sip:%61%2f@192.0.2.10>"),
        ("<sip:100@192.0.2.10>;+Sip.Flag", "<sip:100@192.0.2.10>;+Sip.Flag"),
    ],
)
def test_contacts_are_echoed_to_the_letter(phone: FakePhone, contact: str, echoed: str) -> None:
    phone.register(contact, expires=600)
    sent = phone.expect_sent("200 REGISTER")
    assert f"\r\nContact: {echoed};expires=600\r\n".encode() in sent.data


def test_16_6_the_contact_becomes_the_request_uri_to_the_letter(
    alice: FakePhone, office: CoreHarness, bob: FakePhone
) -> None:
    bob.register("<sip:101-0x5616078f27f0@192.0.2.11:5060;ob;Transport=udp>")
    bob.expect("200 REGISTER")
    invite = alice.invite("101")
    forwarded = bob.expect_sent("INVITE")
    assert forwarded.data.startswith(b"INVITE sip:101-0x5616078f27f0@192.0.2.11:5060;ob;Transport=udp SIP/2.0\r\n")
    alice.cancel(invite)


# ------------------------------------------------------------------------------------------------ which device


def device(office: CoreHarness, port: int, **more: object) -> FakePhone:
    return FakePhone(office, "100", "192.0.2.10", port, **more)  # type: ignore[arg-type]


def instance(uuid: str, reg_id: int = 1) -> str:
    return f';+sip.instance="<urn:uuid:{uuid}>";reg-id={reg_id}'


def test_same_instance_with_a_new_contact_replaces_the_old_binding(office: CoreHarness) -> None:
    device(office, 5060, contact_parameters=instance("1")).registered()
    device(office, 40000, contact_parameters=instance("1")).registered()
    assert uris(office) == {"sip:100@192.0.2.10:40000"}


def test_rfc_5626_another_reg_id_or_instance_is_another_binding(office: CoreHarness) -> None:
    device(office, 5060, contact_parameters=instance("1")).registered()
    device(office, 5061, contact_parameters=instance("1", 2)).registered()
    device(office, 5062, contact_parameters=instance("2")).registered()
    assert len(uris(office)) == 3


def test_without_instance_the_same_call_id_replaces(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A)
    phone.expect("200 REGISTER")
    phone.register(B)
    phone.expect("200 REGISTER")
    assert uris(office) == {B[1:-1]}


def test_without_instance_another_call_id_is_another_device(office: CoreHarness) -> None:
    device(office, 5060).registered()
    device(office, 5061).registered()
    assert len(uris(office)) == 2


def test_over_tcp_a_second_register_at_once_with_the_port_learnt_replaces_the_first(office: CoreHarness) -> None:
    phone = device(office, 43210, own="192.0.2.10:5060", connection=7).registered()
    phone.register("<sip:100@192.0.2.10:43210;transport=tcp>")
    phone.expect("200 REGISTER")
    assert uris(office) == {"sip:100@192.0.2.10:43210;transport=tcp"}


def test_same_connection_with_another_call_id_replaces(office: CoreHarness) -> None:
    device(office, 43210, connection=7, own="192.0.2.10:5060").registered()
    phone = device(office, 43210, connection=7)
    phone.send_request(
        "REGISTER", "sip:192.0.2.1", to=f"<{phone.aor}>", headers=(("Contact", f"<{phone.contact_uri}>"),)
    )
    phone.expect("200 REGISTER")
    assert uris(office) == {phone.contact_uri}


def test_two_instances_on_one_connection_are_two_devices(office: CoreHarness) -> None:
    device(office, 43210, connection=7, contact_parameters=instance("1")).registered()
    other = device(office, 43210, connection=7, contact_parameters=instance("2"), own="192.0.2.10:9")
    other.registered()
    assert len(uris(office)) == 2


def test_several_contacts_of_one_register_do_not_displace_each_other(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(A, B, C)
    phone.expect("200 REGISTER")
    phone.register(A, B, C)
    phone.expect("200 REGISTER")
    assert uris(office) == {A[1:-1], B[1:-1], C[1:-1]}


def test_one_device_too_many_drops_the_one_heard_of_longest_ago(office: CoreHarness) -> None:
    for port in range(6000, 6000 + MAX_BINDINGS_PER_NUMBER + 1):
        device(office, port).registered()
        office.advance(1)
    assert len(uris(office)) == MAX_BINDINGS_PER_NUMBER
    assert "sip:100@192.0.2.10:6000" not in uris(office)


def test_too_many_contacts_in_one_register_are_refused(phone: FakePhone, office: CoreHarness) -> None:
    phone.register(*(f"<sip:100@192.0.2.10:{port}>" for port in range(6000, 6011)))
    phone.expect("403 REGISTER")
    assert contacts(office) == []


# ------------------------------------------------------------------------------------------------ where it came from


def test_source_and_transport_are_kept_with_the_binding(office: CoreHarness) -> None:
    FakePhone(office, "100", "198.51.100.7", 43210, own="10.0.0.5:5060", connection=7).registered()
    (contact,) = contacts(office)
    assert (contact.address, contact.port, contact.transport) == ("198.51.100.7", 43210, "TCP")
    assert contact.behind_nat


def test_a_phone_is_behind_nat_when_via_or_contact_names_another_address(office: CoreHarness) -> None:
    phone = FakePhone(office, "100", "192.0.2.10", 5060)
    phone.registered()
    assert [each.behind_nat for each in contacts(office)] == [False]
    phone.register("<sip:100@10.0.0.9>")
    phone.expect("200 REGISTER")
    assert [each.behind_nat for each in contacts(office)] == [True]


def test_a_phone_that_moves_is_reached_where_it_is_now(office: CoreHarness) -> None:
    FakePhone(office, "100", "192.0.2.10", own="host.example").registered()
    moved = FakePhone(office, "100", "192.0.2.99", own="host.example").registered()
    assert [(each.address, each.uri) for each in contacts(office)] == [("192.0.2.99", moved.contact_uri)]


def test_registrations_are_counted(phone: FakePhone, office: CoreHarness) -> None:
    phone.registered().registered()
    assert [each.count for each in office.core.registrations(office.now)] == [2]


def test_the_administrator_removes_registrations(alice: FakePhone, bob: FakePhone, office: CoreHarness) -> None:
    assert office.core.remove_registrations("100", office.now) == 1
    assert (contacts(office, "100"), len(contacts(office, "101"))) == ([], 1)
    assert office.core.clear_registrations(office.now) == 1
    assert office.core.registrations(office.now) == ()


# ------------------------------------------------------------------------------------------------ how they end


def departures(office: CoreHarness) -> list[tuple[str, str, str]]:
    """(why, whose, by whom), oldest first."""
    return [(each.why.value, each.address, each.by) for each in office.core._exchange.location.departures("100")]


def test_a_departure_says_who_has_ended_the_registration(phone: FakePhone, office: CoreHarness) -> None:
    other = FakePhone(office, "100", "192.0.2.11")
    mine, its = "192.0.2.10:5060", "192.0.2.11:5060"
    phone.registered()
    phone.register(expires=0)
    phone.registered()
    other.register("*", expires=0)
    phone.registered()
    office.core.remove_registrations("100", office.now)
    phone.registered()
    office.advance(3601.0)
    assert departures(office) == [
        ("unregistered", mine, mine),
        ("removed-by-another", mine, its),
        ("administrator", mine, ""),
        ("expired", mine, ""),
    ]


def test_a_phone_that_comes_back_from_elsewhere_takes_its_own_leave(phone: FakePhone, office: CoreHarness) -> None:
    phone.registered()
    phone.port = 5099
    phone.register("*", expires=0)
    # Its Call-ID has changed with its port in this bench, as that of a phone that was switched off and on.
    assert departures(office) == [("unregistered", "192.0.2.10:5060", "192.0.2.10:5099")]
