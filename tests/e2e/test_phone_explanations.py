"""Registrations that fail, and numbers that can't be reached, on the wire, explained by the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sip.timers import TimerSettings
from tests.support.explained import ExplainedOffice, key_of
from tests.support.office import eventually
from tests.support.phone import SoftPhone
from tests.support.phone_credentials import question

RIGHT = "correct horse battery"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExplainedOffice]:
    """300 has a password, the others need none."""
    directory = tmp_path_factory.mktemp("office")
    office = ExplainedOffice(directory, ext_passwords=(("300", RIGHT), ("301", f"{RIGHT} too")))
    yield office
    office.close()


@pytest.fixture
def own_office(tmp_path: Path) -> Iterator[Callable[..., ExplainedOffice]]:
    offices: list[ExplainedOffice] = []

    def make(timers: TimerSettings | None = None, **settings: Any) -> ExplainedOffice:
        offices.append(ExplainedOffice(tmp_path / str(len(offices)), timers, **settings))
        return offices[-1]

    yield make
    for each in offices:
        each.close()


def refusal(office: ExplainedOffice, number: str, address: str = "127.0.0.1") -> list[str]:
    """How the newest refused registration of a number from there is explained."""
    rows = office.api.get(f"/api/registrations/failures?extension={number}")
    row = next(each for each in rows if each["address"] == address)
    return [key_of(finding) for finding in row["explanation"]]


def reach(office: ExplainedOffice, number: str) -> tuple[str, list[str]]:
    answer = office.api.get(f"/api/users/{number}/explain")
    return answer["verdict"], [key_of(finding) for finding in answer["findings"]]


# ------------------------------------------------------------------------------------------------ refused


def test_wrong_password(office: ExplainedOffice) -> None:
    phone = office.unregistered("300", password="wrong", host="127.0.0.11")
    assert phone.send_register().wait_final().status == 401
    assert refusal(office, "300", "127.0.0.11") == ["wrong-password certain"]
    assert reach(office, "300")[1] == ["phone-not-registered.never certain", "wrong-password certain"]


def test_wrong_password_that_was_put_right(office: ExplainedOffice) -> None:
    phone = office.unregistered("301", password="wrong", host="127.0.0.12")
    assert phone.send_register().wait_final().status == 401
    phone.password = f"{RIGHT} too"
    phone.register()
    assert refusal(office, "301", "127.0.0.12") == ["registered-since certain", "wrong-password certain"]
    assert reach(office, "301") == ("reachable", [])


def test_no_password_at_all(office: ExplainedOffice) -> None:
    phone = office.unregistered("300", host="127.0.0.13")
    for _ in range(4):
        phone.send_register().wait_final()
    assert refusal(office, "300", "127.0.0.13") == ["no-password-shown certain"]


def test_answers_that_never_count(office: ExplainedOffice) -> None:
    """The phone is asked at one address and answers from another, as behind a router with two ways out."""
    here, there = (office.unregistered("300", host=host) for host in ("127.0.0.14", "127.0.0.24"))
    for _ in range(3):
        asked = question(here.send_register().wait_final())
        answer = asked.answer("300", RIGHT, "REGISTER", there.server_uri)
        assert there.send_register(None, answer).wait_final().status == 401
    assert refusal(office, "300", "127.0.0.24") == ["nonce-too-late certain"]


def test_a_number_that_does_not_exist(office: ExplainedOffice) -> None:
    office.unregistered("999").send_register().wait_final()
    assert refusal(office, "999") == ["unknown-user.number certain"]


def test_a_user_that_does_not_exist(office: ExplainedOffice) -> None:
    phone = office.unregistered("300", host="127.0.0.15")
    asked = question(phone.send_register().wait_final())
    answer = asked.answer("boss", RIGHT, "REGISTER", phone.server_uri)
    phone.send_register(None, answer).wait_final()
    assert refusal(office, "300", "127.0.0.15") == ["unknown-user.user certain"]


def test_the_password_of_another_number(office: ExplainedOffice) -> None:
    phone = office.unregistered("300", host="127.0.0.16")
    asked = question(phone.send_register().wait_final())
    answer = asked.answer("301", f"{RIGHT} too", "REGISTER", phone.server_uri)
    phone.send_register(None, answer).wait_final()
    assert refusal(office, "300", "127.0.0.16") == ["password-of-another-number certain"]


def test_an_answer_that_cannot_be_read(office: ExplainedOffice) -> None:
    phone = office.unregistered("300", host="127.0.0.17")
    asked = question(phone.send_register().wait_final())
    name, value = asked.answer("300", RIGHT, "REGISTER", phone.server_uri)
    phone.send_register(None, (name, value.replace("nc=", "nx="))).wait_final()
    assert refusal(office, "300", "127.0.0.17") == ["unusable-credentials certain"]


def test_a_contact_that_is_the_server(office: ExplainedOffice) -> None:
    number = office.number()
    phone = office.unregistered(number, host="127.0.0.18")
    phone.send_register(None, ("Contact", f"<sip:{number}@127.0.0.1:{office.server.sip_port}>")).wait_final()
    assert refusal(office, number, "127.0.0.18") == ["contact-refused certain"]


def test_a_registration_against_the_rules(office: ExplainedOffice) -> None:
    number = office.number()
    phone = office.unregistered(number, host="127.0.0.19")
    phone.send_register(10, ("Contact", "*")).wait_final()
    assert refusal(office, number, "127.0.0.19") == ["malformed-registration certain"]


def test_where_every_phone_needs_a_password(own_office: Callable[..., ExplainedOffice]) -> None:
    office = own_office(auth_required=True)
    office.unregistered("100").send_register().wait_final()
    assert refusal(office, "100") == ["number-without-password certain"]


def test_outside_the_trusted_networks(own_office: Callable[..., ExplainedOffice]) -> None:
    office = own_office(trusted_networks=())
    office.unregistered("100").send_register().wait_final()
    assert refusal(office, "100") == ["foreign-network certain"]


# ------------------------------------------------------------------------------------------------ reachable


def test_registered_is_reachable(office: ExplainedOffice) -> None:
    assert reach(office, office.phone(office.number()).number) == ("reachable", [])


def test_unregistered(office: ExplainedOffice) -> None:
    phone = office.phone(office.number())
    phone.unregister()
    assert reach(office, phone.number) == ("unreachable", ["phone-not-registered.unregistered certain"])


def test_connection_lost(office: ExplainedOffice) -> None:
    phone = office.phone(office.number(), transport="TCP")
    phone.disconnect()
    found = eventually(lambda: reach(office, phone.number)[1], "the loss of the connection")
    assert found == ["phone-connection-lost certain"]


def test_two_phones_that_remove_one_another(office: ExplainedOffice) -> None:
    number = office.number()
    one, other = (office.unregistered(number, host=host) for host in ("127.0.0.21", "127.0.0.22"))
    for phone in (one, other, one, other):
        phone.send_register(0, ("Contact", "*")).wait_final()
        phone.register()
    assert reach(office, number) == ("doubtful", ["two-phones-one-number likely"])


def test_a_phone_that_moves_is_no_fight(office: ExplainedOffice) -> None:
    number = office.number()
    for host in ("127.0.0.31", "127.0.0.32"):
        phone = office.unregistered(number, host=host)
        phone.send_register(0, ("Contact", "*")).wait_final()
        phone.register()
    assert reach(office, number) == ("reachable", [])


class Hidden(SoftPhone):
    """Behind NAT."""

    @property
    def address(self) -> str:
        return f"192.168.77.1:{self.link.local[1]}"


def test_a_phone_behind_nat_that_answers_no_ping(own_office: Callable[..., ExplainedOffice]) -> None:
    office = own_office(TimerSettings(t1_s=0.002), nat_keepalive=0.05)
    phone = Hidden(office.server, "100")
    phone.automatic.discard("OPTIONS")
    phone.register()
    eventually(lambda: reach(office, "100")[1], "the silence of the phone")
    assert reach(office, "100") == ("doubtful", ["phone-not-answering likely"])
    phone.close()
