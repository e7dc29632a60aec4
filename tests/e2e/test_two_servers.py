"""Two servers on one database: a phone registered through either is called through both, and all that is known is
shared."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.office import ErrorCollector, Office, eventually, office_config
from tests.support.phone import SoftPhone
from tests.support.phone_call import PhoneCall
from tests.support.postgres import Cluster
from tests.support.program import run_here

HOSTS = ("127.0.0.1", "127.0.0.2")
GOOD = "correct horse battery"


@dataclass
class Pair:
    """Two servers, each on an address of its own."""

    one: Office
    two: Office

    @property
    def offices(self) -> tuple[Office, Office]:
        return self.one, self.two

    def phone(self, at: int, number: str, **options: Any) -> SoftPhone:
        """A phone registered at the first (0) or second (1) server, and known to both."""
        phone = self.unregistered(at, number, **options)
        phone.register()
        self.wait_known(phone)
        return phone

    def unregistered(self, at: int, number: str, **options: Any) -> SoftPhone:
        return self.offices[at].unregistered(number, server_host=HOSTS[at], **options)

    def wait_known(self, phone: SoftPhone) -> None:
        for office in self.offices:
            eventually(lambda office=office: phone.address in addresses(office, phone.number), "a phone known to both")

    def wait_for_each_other(self) -> None:
        for office, other in ((self.one, "two"), (self.two, "one")):
            neighbours = office.server._engine._core._exchange.neighbours
            eventually(lambda neighbours=neighbours, other=other: neighbours.flow(other), f"the server {other}")

    def clear(self) -> None:
        """Switch all phones off, and forget them."""
        for office in self.offices:
            office.switch_off()
        for office in self.offices:
            office.server.clear_calls()
            office.server.clear_registrations()
        for office in self.offices:
            eventually(lambda office=office: not office.numbers(), "the end of all registrations")

    def only_record(self) -> Any:
        """The one call of the history, which is that of both."""
        for office in self.offices:
            eventually(lambda office=office: not office.api.get("/api/calls"), "the end of all calls")
        found = [office.api.get("/api/calls/history") for office in self.offices]
        assert found[0] == found[1]
        (record,) = found[0]
        return record


def addresses(office: Office, number: str) -> list[str]:
    """Where the phones of a number are, as that server knows."""
    users = [user for user in office.api.get("/api/users") if user["number"] == number]
    return [f"{contact['address']}:{contact['port']}" for user in users for contact in user["contacts"]]


def settings(url: str, index: int, **more: Any) -> dict[str, Any]:
    host = HOSTS[index]
    return {
        "database_url": url,
        "server_name": ("one", "two")[index],
        "sip_host": host,
        "rtp_host": host,
        **more,
    }


@pytest.fixture
def database(cluster: Cluster) -> str:
    return cluster.new_database()


Start = Callable[..., Office]


@pytest.fixture
def start(cluster: Cluster, database: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the first (0) or second (1) server on a database of the test's own."""
    with ExitStack() as last_first:

        def start_server(index: int, **more: Any) -> Office:
            directory = tmp_path / f"{index}-{len(list(tmp_path.iterdir()))}"
            office = Office(office_config(directory, **settings(cluster.url(database), index, **more)))
            last_first.callback(office.close)
            return office

        yield start_server


@pytest.fixture(scope="module")
def running(lasting_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, str]]:
    """A pair for all tests that leave it as it was, and its database."""
    database = lasting_cluster.new_database(kept=True)
    url = lasting_cluster.url(database)
    with ExitStack() as last_first:
        offices = []
        for index in (0, 1):
            directory = tmp_path_factory.mktemp("server")
            offices.append(Office(office_config(directory, **settings(url, index))))
            last_first.callback(offices[-1].close)
        yield Pair(*offices), database


@pytest.fixture
def pair(running: tuple[Pair, str], cluster: Cluster) -> Iterator[Pair]:
    """Neither server may log an error."""
    pair, database = running
    pair.wait_for_each_other()
    errors = ErrorCollector()
    logging.getLogger().addHandler(errors)
    yield pair
    pair.clear()
    cluster.execute(database, "TRUNCATE call, party, media, trace")
    logging.getLogger().removeHandler(errors)
    assert errors.lines == []


def talk(call: PhoneCall, ring: PhoneCall) -> None:
    """Sound passes both ways."""
    for sender, receiver in ((call, ring), (ring, call)):
        packets = sender.media.make_packets(4)
        sender.media.send(*packets)
        assert [receiver.media.receive() for _ in packets] == packets


class TestCalls:
    @pytest.mark.parametrize(("caller_at", "callee_at"), [(0, 1), (1, 0)])
    @pytest.mark.parametrize("ender", ["caller", "callee"])
    def test_in_each_direction_ended_by_either_side(
        self, pair: Pair, caller_at: int, callee_at: int, ender: str
    ) -> None:
        alice, bob = pair.phone(caller_at, "100"), pair.phone(callee_at, "101")
        call = alice.call("101")
        ring = bob.expect_call()
        ring.ring()
        call.wait_ringing()
        ring.answer()
        call.wait_answered()
        talk(call, ring)
        first, last = (call, ring) if ender == "caller" else (ring, call)
        first.hang_up()
        last.wait_ended()
        record = pair.only_record()
        assert (record["fromNumber"], record["toNumber"], record["terminationReason"]) == ("100", "101", "normal")
        assert record["endedBy"] == ender
        assert ring.invite["P-Asserted-Identity"] == f"<sip:100@{HOSTS[callee_at]}>"
        assert "Route" not in [name for name, _ in ring.invite.headers]

    def test_given_up_while_it_rings(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        call = alice.call("101")
        ring = bob.expect_call()
        ring.ring()
        call.wait_ringing()
        call.cancel()
        assert ring.wait_ended().method == "CANCEL"
        assert call.wait_rejected().status == 487
        assert pair.only_record()["terminationReason"] == "cancelled"

    def test_to_a_phone_that_is_busy(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        call = alice.call("101")
        bob.expect_call().reject(486)
        assert call.wait_rejected().status == 486
        assert pair.only_record()["terminationReason"] == "busy"

    def test_put_on_hold_and_taken_back_by_either_side(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        call, ring = connect(alice, bob)
        for party, other in ((call, ring), (ring, call)):
            assert party.hold().status == 200
            assert b"a=recvonly" in party.remote_sdp
            assert party.resume().status == 200
            talk(party, other)
        call.hang_up()
        ring.wait_ended()

    def test_ended_by_the_administrator_of_the_server_that_was_called(self, pair: Pair) -> None:
        call, ring = connect(pair.phone(0, "100"), pair.phone(1, "101"))
        pair.two.server.clear_calls()
        for party in (call, ring):
            assert party.wait_ended().method == "BYE"
        assert pair.only_record()["terminationReason"] == "normal"

    def test_a_number_with_phones_at_both_rings_everywhere(self, pair: Pair) -> None:
        alice, desk, mobile = pair.phone(0, "100"), pair.phone(0, "101"), pair.phone(1, "101")
        call = alice.call("101")
        desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
        mobile_ring.answer()
        call.wait_answered()
        assert desk_ring.wait_ended().method == "CANCEL"
        talk(call, mobile_ring)
        call.hang_up()
        mobile_ring.wait_ended()
        pair.only_record()

    def test_two_phones_of_a_number_at_the_other_server_are_one_call(self, pair: Pair) -> None:
        alice, desk, mobile = pair.phone(0, "100"), pair.phone(1, "101"), pair.phone(1, "101")
        call = alice.call("101")
        desk_ring, mobile_ring = desk.expect_call(), mobile.expect_call()
        desk_ring.answer()
        call.wait_answered()
        assert mobile_ring.wait_ended().method == "CANCEL"
        call.hang_up()
        desk_ring.wait_ended()
        pair.only_record()

    def test_a_phone_on_tcp(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101", transport="TCP")
        call, ring = connect(alice, bob)
        talk(call, ring)
        ring.hang_up()
        call.wait_ended()

    def test_the_caller_s_server_knows_who_calls_though_it_needs_a_password(self, start: Start) -> None:
        """The other server takes its word, and asks the caller for nothing."""
        passwords = (("100", GOOD), ("101", GOOD + "!"))
        pair = Pair(start(0, ext_passwords=passwords), start(1, ext_passwords=passwords))
        alice, bob = pair.phone(0, "100", password=GOOD), pair.phone(1, "101", password=GOOD + "!")
        call, ring = connect(alice, bob)
        assert "Proxy-Authorization" not in [name for name, _ in ring.invite.headers]
        call.hang_up()
        ring.wait_ended()
        # A question for a password is each server's own: a phone that moves is asked anew, and answers.
        bob.move_to(HOSTS[0], pair.one.server.sip_port)
        bob.register()
        assert [response.status for response in bob.messages("received", "* REGISTER")][-2:] == [401, 200]
        eventually(lambda: [each.server for each in contacts(pair.two, "101")] == ["one"], "the move")


def connect(caller: SoftPhone, callee: SoftPhone) -> tuple[PhoneCall, PhoneCall]:
    call = caller.call(callee.number)
    ring = callee.expect_call()
    ring.answer()
    call.wait_answered()
    return call, ring


class TestOtherRequests:
    def test_a_message_reaches_a_phone_at_the_other_server(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        sent = alice.request("MESSAGE", alice.uri_of("101"), body=b"hello")
        received = bob.expect_request("MESSAGE")
        assert received.message.body == b"hello"
        received.respond(200)
        assert sent.wait_final().status == 200

    def test_a_subscription_goes_both_ways(self, pair: Pair) -> None:
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        sent = alice.request(
            "SUBSCRIBE", alice.uri_of("101"), ("Event", "dialog"), ("Contact", alice.contact), ("Expires", "60")
        )
        subscribe = bob.expect_request("SUBSCRIBE")
        subscribe.respond(200, ("Expires", "60"), ("Contact", bob.contact))
        assert sent.wait_final().status == 200
        routes = [("Route", value) for name, value in subscribe.message.headers if name == "Record-Route"]
        notify = bob.make_request("NOTIFY", alice.contact[1:-1], bob.uri_of("100"), [("Event", "dialog"), *routes])
        notify.set("From", f"{subscribe.message['To']};tag={subscribe.tag}")
        notify.set("To", subscribe.message["From"])
        notify.set("Call-ID", subscribe.message.call_id)
        # A phone that does not know of the subscription says so; that it is asked is what matters here.
        assert bob.send_request(notify).wait_final().status == 481
        (received,) = alice.messages("received", "NOTIFY")
        assert "Route" not in [name for name, _ in received.headers]


class TestTrust:
    def forged(self, phone: SoftPhone, host: str, port: int, name: str = "one") -> str:
        """An INVITE of nobody, with a pass that nobody has made; the status of the answer."""
        value = f"{name}~ffffffff~{'0' * 32}"
        invite = phone.make_request("INVITE", phone.uri_of("101"), phone.uri_of("101"), [("Contact", phone.contact)])
        invite.headers.insert(0, ("Route", f"<sip:{host}:{port};lr;pass={value}>"))
        return phone.send_request(invite).wait_final().start_line

    def test_a_forged_pass_opens_nothing(self, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
        bob = pair.phone(1, "101")
        stranger = pair.unregistered(1, "100")
        for name in ("one", "nobody", ""):
            answer = self.forged(stranger, HOSTS[1], pair.two.server.sip_port, name)
            assert answer == "SIP/2.0 403 Not Forwarded By A Server"
        assert bob.messages("received", "INVITE") == []
        assert "its pass was not made by a server on this database for this request" in caplog.text

    def test_a_pass_that_was_overheard_is_good_for_nobody_else(self, pair: Pair) -> None:
        """It names the request that it was made for, and the server that it comes from."""
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        call, ring = connect(alice, bob)
        (live,) = pair.one.server._engine._core._exchange.calls.live()
        sent = b"".join(entry.data for entry in live.journal.entries())
        found = re.search(r"Route: <[^>]*;pass=([^>]+)>", sent.decode())
        assert found is not None
        stranger = pair.unregistered(1, "100")
        invite = stranger.make_request("INVITE", stranger.uri_of("101"), stranger.uri_of("101"))
        host = f"{HOSTS[1]}:{pair.two.server.sip_port}"
        invite.headers.insert(0, ("Route", f"<sip:{host};lr;pass={found[1]}>"))
        assert stranger.send_request(invite).wait_final().status == 403
        call.hang_up()
        ring.wait_ended()


class TestRegistrations:
    def test_a_phone_that_registers_at_the_other_server_has_moved(self, pair: Pair) -> None:
        """Its binding is one, wherever it is held: a call reaches the phone once."""
        alice, bob = pair.phone(0, "100"), pair.phone(0, "101")
        bob.move_to(HOSTS[1], pair.two.server.sip_port)
        bob.register()
        eventually(lambda: [each.server for each in contacts(pair.one, "101")] == ["two"], "the move")
        assert [each.server for each in contacts(pair.two, "101")] == [""]
        call, ring = connect(alice, bob)
        talk(call, ring)
        call.hang_up()
        ring.wait_ended()

    def test_a_phone_that_takes_its_leave_is_gone_everywhere(self, pair: Pair) -> None:
        bob = pair.phone(1, "101")
        bob.unregister()
        eventually(lambda: pair.one.numbers() == [], "the end of the registration")
        alice = pair.phone(0, "100")
        assert alice.call("101").wait_rejected().status == 480

    def test_the_administrator_of_either_server_removes_it(self, pair: Pair) -> None:
        bob = pair.phone(1, "101")
        assert pair.one.server.remove_registrations("101") == 1
        eventually(lambda: pair.two.numbers() == [], "the end of the registration")
        bob.register()
        pair.wait_known(bob)

    def test_registrations_are_counted_over_both(self, pair: Pair) -> None:
        for at in (0, 1, 0):
            pair.phone(at, "105")
        counts = [user["registrationCount"] for user in pair.two.api.get("/api/users")]
        assert counts == [3]

    def test_a_server_that_was_stopped_comes_back_with_its_own(self, start: Start) -> None:
        pair = Pair(start(0), start(1))
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        port = pair.two.server.sip_port
        pair.two.server.stop()
        eventually(lambda: alice.call("101").wait_rejected().reason == "Server Of Number Out Of Service", "the stop")
        again = start(1, sip_port=port)
        assert addresses(again, "101") == [bob.address]
        eventually(lambda: pair.one.server._engine._core._exchange.neighbours.flow("two"), "the other server")
        call, ring = connect(alice, bob)
        call.hang_up()
        ring.wait_ended()


def contacts(office: Office, number: str) -> list[Any]:
    return [each for user in office.server.registrations() if user.number == number for each in user.contacts]


class TestGuards:
    def test_a_password_set_at_one_is_asked_for_at_the_other(self, pair: Pair) -> None:
        bob = pair.phone(1, "101")
        pair.one.api.request("PUT", "/api/extensions/101/password", {"password": GOOD})
        eventually(lambda: pair.two.server.numbers_with_password() == {"101"}, "the password")
        assert pair.two.numbers() == []
        assert bob.send_register().wait_final().status == 401
        bob.password = GOOD
        bob.register()
        pair.wait_known(bob)
        pair.two.api.request("DELETE", "/api/extensions/101/password")
        eventually(lambda: pair.one.server.numbers_with_password() == frozenset(), "the end of the password")

    def test_a_password_set_by_the_command_is_in_force_at_both(
        self, pair: Pair, running: tuple[Pair, str], cluster: Cluster, tmp_path: Path
    ) -> None:
        _, database = running
        ended = run_here(tmp_path, "passwd", "101", typed=f"{GOOD}\n", DATABASE_URL=cluster.url(database))
        assert ended.status == 0, ended.errors
        for office in pair.offices:
            eventually(lambda office=office: office.server.numbers_with_password() == {"101"}, "the password")
        shown = run_here(tmp_path, "passwd", "--list", DATABASE_URL=cluster.url(database))
        assert shown.output == "101\n"
        assert list(tmp_path.glob("data/passwords*")) == []
        assert cluster.execute(database, "SELECT number FROM password") == [("101",)]
        assert run_here(tmp_path, "passwd", "101", "--remove", DATABASE_URL=cluster.url(database)).status == 0
        for office in pair.offices:
            eventually(lambda office=office: not office.server.numbers_with_password(), "the end of the password")

    def test_who_is_banned_at_one_is_banned_at_the_other(self, pair: Pair) -> None:
        pair.one.server.add_ban("203.0.113.7", 600.0, "a scanner")
        eventually(lambda: [ban.address for ban in pair.two.server.bans()] == ["203.0.113.7"], "the ban")
        pair.two.server.lift_ban("203.0.113.7")
        eventually(lambda: pair.one.server.bans() == (), "the end of the ban")


class TestWithoutTheDatabase:
    def test_calls_go_on_and_what_happens_meanwhile_is_shared_afterwards(
        self, start: Start, cluster: Cluster, database: str
    ) -> None:
        pair = Pair(start(0), start(1))
        alice, bob = pair.phone(0, "100"), pair.phone(1, "101")
        cluster.refuse(database)
        for office in pair.offices:
            eventually(lambda office=office: office.server.health().problems, "a problem that is told")
        call, ring = connect(alice, bob)
        talk(call, ring)
        call.hang_up()
        ring.wait_ended()
        carol = pair.unregistered(0, "102")
        carol.register()
        cluster.admit(database)
        pair.wait_known(carol)
        for office in pair.offices:
            eventually(lambda office=office: not office.server.health().problems, "all well")
        assert pair.only_record()["terminationReason"] == "normal"
