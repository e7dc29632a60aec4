"""Matching of messages to transactions (RFC 3261 17.1.3, 17.2.3, 9.2), creation, limits, and that nothing is left."""

from __future__ import annotations

import gc
import random

import pytest

from sip.errors import LocalProtocolError
from sip.flow import Flow
from sip.message import Request
from sip.transaction import State, Transaction
from sip.transaction_client import ClientTransaction, InviteClientTransaction
from sip.transaction_server import InviteServerTransaction, NonInviteServerTransaction, ServerTransaction
from tests.support.transactions import FLOWS, TCP, UDP, Bench, make_request, response_to

both_transports = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
OLD_BRANCHES = pytest.mark.parametrize("branch", [None, "1", "z9hG4bK"], ids=["none", "no cookie", "bare cookie"])

# ------------------------------------------------------------------------------------------------ requests, 17.2.3


def test_a_new_request_goes_to_the_user_with_a_transaction_that_knows_it() -> None:
    bench = Bench()
    for method, kind in (("INVITE", InviteServerTransaction), ("OPTIONS", NonInviteServerTransaction)):
        request = make_request(method)
        bench.receive(request)
        transaction = bench.user.of("request")[-1][0]
        assert type(transaction) is kind
        assert transaction.request is request
        assert transaction.flow is UDP
        assert transaction.context is None
        assert bench.layer.find_server(request) is transaction


def test_17_2_3_same_branch_sent_by_and_method_is_a_copy() -> None:
    bench = Bench()
    for method in ("INVITE", "OPTIONS", "REGISTER", "BYE"):
        bench.forget()
        bench.receive(make_request(method))
        bench.receive(make_request(method))
        # Nothing else counts when the branch bears the cookie.
        bench.receive(make_request(method, uri="sip:carol@example.com", from_tag="x", call_id="y", cseq=99))
        assert bench.user.names == ["request"], method


@pytest.mark.parametrize(
    "difference",
    [{"branch": "z9hG4bKtwo"}, {"branch": "z9hG4bKONE"}, {"sent_by": "192.0.2.7:5062"}, {"sent_by": "192.0.2.8:5060"}],
    ids=str,
)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_17_2_3_another_branch_or_sent_by_is_another_transaction(method: str, difference: dict[str, str]) -> None:
    bench = Bench()
    bench.receive(make_request(method))
    bench.receive(make_request(method, **difference))
    assert bench.user.names == ["request", "request"]
    assert bench.layer.server_count == 2


def test_17_2_3_another_method_is_another_transaction() -> None:
    bench = Bench()
    for method in ("INVITE", "OPTIONS", "BYE", "MESSAGE"):
        bench.receive(make_request(method))
    assert bench.user.names == ["request"] * 4


@pytest.mark.parametrize("sent_by", ["PHONE.example.com:5060", "phone.example.com", "Phone.Example.COM : 5060"])
def test_17_2_3_sent_by_is_compared_as_a_host_and_port(sent_by: str) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE", sent_by="phone.example.com:5060"))
    bench.receive(make_request("INVITE", sent_by=sent_by))
    assert bench.layer.server_count == 1


def test_17_2_3_ack_to_a_non_2xx_has_the_branch_of_the_invite_and_is_absorbed() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 404)
    bench.receive(make_request("ACK", to_tag="ours"))
    assert transaction.state is State.CONFIRMED
    assert "ack" not in bench.user.names


def test_17_2_3_ack_to_a_2xx_has_a_branch_of_its_own_and_goes_to_the_user() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 200)
    ack = make_request("ACK", branch="z9hG4bKack", to_tag="ours")
    bench.receive(ack)
    assert bench.user.of("ack") == [(ack, UDP, None)]
    assert bench.layer.server_count == 1


def test_an_ack_to_nothing_makes_no_transaction() -> None:
    bench = Bench()
    ack = make_request("ACK")
    bench.receive(ack)
    assert bench.user.events == [("ack", (ack, UDP, None))]
    assert bench.live == (0, 0, 0)


def test_an_ack_before_any_final_response_is_ignored() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.receive(make_request("ACK"))
    assert transaction.state is State.PROCEEDING
    assert bench.user.names == ["request"]


# ------------------------------------------------------------------------------------------------ RFC 2543 clients


@OLD_BRANCHES
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_17_2_3_rfc_2543_copies_are_known_by_their_headers(method: str, branch: str | None) -> None:
    bench = Bench()
    bench.receive(make_request(method, branch=branch))
    bench.receive(make_request(method, branch=branch))
    assert bench.user.names == ["request"]


@OLD_BRANCHES
@pytest.mark.parametrize(
    "difference",
    [
        {"uri": "sip:carol@example.com"},
        {"to_tag": "x"},
        {"from_tag": "x"},
        {"call_id": "x"},
        {"cseq": 8},
        {"sent_by": "192.0.2.8:5060"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_17_2_3_rfc_2543_any_difference_makes_another_transaction(
    method: str, difference: dict[str, str], branch: str | None
) -> None:
    bench = Bench()
    bench.receive(make_request(method, branch=branch))
    bench.receive(make_request(method, branch=branch, **difference))
    assert bench.user.names == ["request", "request"]


def test_17_2_3_rfc_2543_the_whole_via_counts_the_order_of_its_parameters_does_not() -> None:
    bench = Bench()
    for branch in ("1;received=192.0.2.7;ttl=1", "1;ttl=1;received=192.0.2.7", "1;ttl=2;received=192.0.2.7"):
        bench.receive(make_request("INVITE", branch=branch))
    assert bench.layer.server_count == 2


@OLD_BRANCHES
@pytest.mark.parametrize("to_tag", [None, "theirs"], ids=["initial", "in dialog"])
def test_17_2_3_rfc_2543_ack_is_matched_by_the_to_tag_of_the_response(branch: str | None, to_tag: str | None) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE", branch=branch, to_tag=to_tag))
    transaction, request = bench.user.of("request")[0]
    assert isinstance(transaction, InviteServerTransaction)
    assert isinstance(request, Request)
    bench.respond(transaction, request, 486)
    bench.receive(make_request("ACK", branch=branch, to_tag="another"))
    assert transaction.state is State.COMPLETED
    assert bench.user.names == ["request", "ack"]
    bench.receive(make_request("ACK", branch=branch, to_tag=to_tag or "ours"))
    assert transaction.state is State.CONFIRMED
    # 17.2.3: another ACK that matches is a copy of the first.
    bench.receive(make_request("ACK", branch=branch, to_tag=to_tag or "ours"))
    assert bench.user.names == ["request", "ack"]


@OLD_BRANCHES
def test_rfc_6026_6_rfc_2543_ack_in_accepted_goes_to_the_user_with_its_invite(branch: str | None) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE", branch=branch))
    transaction, request = bench.user.of("request")[0]
    assert isinstance(transaction, InviteServerTransaction)
    assert isinstance(request, Request)
    bench.respond(transaction, request, 200)
    ack = make_request("ACK", branch=branch, to_tag="ours")
    bench.receive(ack)
    assert bench.user.of("ack") == [(ack, UDP, transaction)]


@OLD_BRANCHES
def test_an_rfc_2543_ack_before_any_response_is_not_for_the_invite(branch: str | None) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE", branch=branch))
    ack = make_request("ACK", branch=branch, to_tag="x")
    bench.receive(ack)
    assert bench.user.of("ack") == [(ack, UDP, None)]


# ------------------------------------------------------------------------------------------------ CANCEL, 9.2


@pytest.mark.parametrize("branch", ["z9hG4bKone", None, "1"])
def test_9_2_cancel_finds_its_invite_and_has_a_transaction_of_its_own(branch: str | None) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE", branch=branch))
    invite = bench.user.of("request")[0][0]
    cancel = make_request("CANCEL", branch=branch)
    bench.receive(cancel)
    transaction, found, request = bench.user.of("cancel")[0]
    assert isinstance(transaction, NonInviteServerTransaction)
    assert found is invite
    assert request is cancel
    bench.respond(transaction, cancel, 200)
    bench.receive(make_request("CANCEL", branch=branch))
    assert bench.what_sent() == ["200", "200"]
    assert bench.user.names == ["request", "cancel"]


@pytest.mark.parametrize(
    "difference", [{"branch": "z9hG4bKtwo"}, {"sent_by": "192.0.2.8:5060"}, {"branch": None}], ids=str
)
def test_9_2_cancel_of_nothing(difference: dict[str, str]) -> None:
    bench = Bench()
    bench.receive(make_request("INVITE"))
    bench.receive(make_request("CANCEL", **difference))
    assert bench.user.of("cancel")[0][1] is None


def test_9_2_cancel_does_not_take_another_method_for_an_invite() -> None:
    bench = Bench()
    bench.receive(make_request("OPTIONS"))
    bench.receive(make_request("CANCEL"))
    assert bench.user.of("cancel")[0][1] is None


@pytest.mark.parametrize("status", [200, 486])
def test_9_2_cancel_after_the_final_response_shows_the_invite_as_it_is(status: int) -> None:
    bench = Bench()
    invite = bench.invite_server()
    bench.respond(invite, invite.request, status)
    before = invite.state
    bench.receive(make_request("CANCEL"))
    assert bench.user.of("cancel")[0][1] is invite
    assert invite.state is before


# ------------------------------------------------------------------------------------------------ the client side


def test_17_1_3_responses_are_matched_by_branch_and_cseq_method() -> None:
    bench = Bench()
    invite = bench.invite_client()
    options = bench.non_invite_client(method="OPTIONS")
    other = bench.layer.send_request(make_request("OPTIONS", branch="z9hG4bKtwo"), UDP, bench.now)
    for transaction in (options, other, invite):
        bench.receive(response_to(transaction.request, 200))
    assert [details[0] for details in bench.user.of("response")] == [options, other, invite]


@pytest.mark.parametrize("difference", [{"branch": "z9hG4bKtwo"}, {"branch": None}, {"method": "BYE"}], ids=str)
def test_17_1_3_what_matches_nothing_is_a_stray(difference: dict[str, str]) -> None:
    bench = Bench()
    bench.non_invite_client()
    response = response_to(make_request(difference.pop("method", "OPTIONS"), **difference), 200)
    bench.receive(response, TCP)
    assert bench.user.events == [("stray_response", (response, TCP))]


def test_a_response_may_come_by_another_flow() -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    elsewhere = Flow("UDP", "192.0.2.1", 5060, "198.51.100.9", 5060)
    response = response_to(transaction.request, 200)
    bench.receive(response, elsewhere)
    assert bench.user.events == [("response", (transaction, response, elsewhere))]


def test_sending_gives_a_transaction_with_the_request_the_flow_and_the_context() -> None:
    bench = Bench()
    for method in ("INVITE", "BYE"):
        request, mark = make_request(method), object()
        transaction = bench.layer.send_request(request, TCP, bench.now, mark)
        assert (transaction.request, transaction.flow, transaction.context) == (request, TCP, mark)
        assert bench.sent[-1].data == request.to_bytes()
        assert bench.sent[-1].transaction is transaction
        assert isinstance(transaction, InviteClientTransaction) is (method == "INVITE")


@pytest.mark.parametrize(
    "request_",
    [make_request("ACK"), make_request("OPTIONS", branch=None), make_request("OPTIONS", branch="1")],
    ids=["ACK", "no branch", "no cookie"],
)
def test_what_has_no_place_in_a_client_transaction_is_refused(request_: Request) -> None:
    bench = Bench()
    with pytest.raises(LocalProtocolError):
        bench.layer.send_request(request_, UDP, bench.now)
    assert bench.sent == []
    assert bench.live == (0, 0, 0)


def test_a_branch_in_use_is_refused_and_the_first_transaction_goes_on() -> None:
    bench = Bench()
    first = bench.non_invite_client()
    with pytest.raises(LocalProtocolError):
        bench.non_invite_client()
    assert bench.what_sent() == ["OPTIONS"]
    bench.receive(response_to(first.request, 200))
    assert bench.user.of("response")[0][0] is first


def test_the_two_sides_of_one_branch_do_not_meet() -> None:
    bench = Bench()
    client = bench.invite_client()
    server = bench.invite_server()
    bench.receive(response_to(client.request, 180))
    assert server.state is client.state is State.PROCEEDING
    assert bench.sent[-1].what == "INVITE"


# ------------------------------------------------------------------------------------------------ the limit


def answer_all(bench: Bench) -> None:
    bench.user.answer = lambda transaction, request, now: bench.respond(transaction, request, 200)


def test_beyond_the_limit_the_oldest_answered_make_room() -> None:
    bench = Bench(max_server_transactions=10)
    answer_all(bench)
    for number in range(25):
        bench.receive(make_request("REGISTER", branch=f"z9hG4bK{number}"))
        assert bench.layer.server_count <= 10
    assert bench.user.names.count("request") == 25
    assert bench.user.names.count("terminated") == 15
    bench.forget()
    for number in range(15, 25):
        bench.receive(make_request("REGISTER", branch=f"z9hG4bK{number}"))
    assert bench.what_sent() == ["200"] * 10
    assert bench.user.events == []
    bench.receive(make_request("REGISTER", branch="z9hG4bK14"))
    assert bench.user.names[-1] == "request"


def test_beyond_the_limit_what_is_unanswered_stays_and_new_requests_are_still_taken() -> None:
    bench = Bench(max_server_transactions=5)
    for number in range(8):
        bench.receive(make_request("INVITE", branch=f"z9hG4bKi{number}"))
        bench.receive(make_request("OPTIONS", branch=f"z9hG4bKo{number}"))
    assert bench.layer.server_count == 16
    assert bench.user.names == ["request"] * 16
    answer_all(bench)
    for number in range(3):
        bench.receive(make_request("MESSAGE", branch=f"z9hG4bKm{number}"))
    assert bench.user.names.count("request") == 19
    # Only what is answered can go, and it went.
    assert bench.layer.server_count == 17


def test_a_request_that_is_not_admitted_begins_nothing() -> None:
    bench = Bench()
    bench.user.is_open = False
    for method in ("INVITE", "REGISTER", "CANCEL", "BYE"):
        bench.receive(make_request(method))
    assert (bench.live, bench.user.events, bench.sent) == ((0, 0, 0), [], [])


def test_copies_of_an_admitted_request_are_not_judged_again() -> None:
    bench = Bench()
    answer_all(bench)
    bench.receive(make_request("REGISTER"))
    bench.user.is_open = False
    bench.forget()
    bench.receive(make_request("REGISTER"))
    assert bench.what_sent() == ["200"]


def test_full_is_when_nothing_answered_can_make_room() -> None:
    bench = Bench(max_server_transactions=2)
    answer_all(bench)
    for number in range(3):
        bench.receive(make_request("REGISTER", branch=f"z9hG4bK{number}"))
    assert not bench.layer.is_full
    bench.user.answer = None
    for number in range(2):
        bench.receive(make_request("INVITE", branch=f"z9hG4bKi{number}"))
    assert bench.layer.is_full


def test_answered_transactions_hold_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.transaction_layer.MAX_ANSWERED_BYTES", 10_000)
    bench = Bench()
    answer_all(bench)
    for number in range(100):
        bench.receive(make_request("REGISTER", branch=f"z9hG4bK{number}"))
    size = len(bench.sent[-1].data)
    assert bench.layer.server_count == 10_000 // size
    bench.advance(32)
    assert bench.live == (0, 0, 0)


def test_dropped_early_leaves_no_timer() -> None:
    bench = Bench(max_server_transactions=3)
    answer_all(bench)
    for number in range(1000):
        bench.receive(make_request("REGISTER", branch=f"z9hG4bK{number}"))
        bench.advance(0.001)
    assert bench.layer.server_count == 3
    assert len(bench.timers) == 1
    bench.advance(32)
    assert bench.live == (0, 0, 0)
    assert bench.user.names.count("terminated") == 1000


# ------------------------------------------------------------------------------------------------ nothing is left


def live_transactions() -> int:
    gc.collect()
    return sum(isinstance(thing, Transaction) for thing in gc.get_objects())


@both_transports
def test_a_thousand_transactions_of_every_kind_leave_nothing_behind(flow: Flow) -> None:
    before = live_transactions()
    bench = Bench()
    count = 300
    for number in range(count):
        branch = f"z9hG4bK{number}"
        for method, status in (("INVITE", 200), ("INVITE", 486), ("REGISTER", 200), ("MESSAGE", 408), ("BYE", None)):
            bench.receive(make_request(method, branch=f"{branch}{status}", flow=flow), flow)
            server = bench.user.of("request")[-1][0]
            assert isinstance(server, ServerTransaction)
            if status is not None:
                bench.respond(server, server.request, status)
            if status == 486 and number % 2:
                bench.receive(make_request("ACK", branch=f"{branch}{status}", flow=flow), flow)
            sent = bench.layer.send_request(
                make_request(method, branch=f"{branch}{status}", flow=flow), flow, bench.now
            )
            if number % 3 == 0:
                bench.receive(response_to(sent.request, 180), flow)
                if isinstance(sent, InviteClientTransaction):
                    sent.cancel(bench.now)
            if status is not None and number % 3 < 2:
                bench.receive(response_to(sent.request, status), flow)
        bench.forget()
        bench.advance(0.01)
    assert bench.layer.server_count > count
    del server, sent
    bench.advance(64)
    assert bench.live == (0, 0, 0)
    assert bench.timers.next_deadline() is None
    bench.forget()
    assert live_transactions() == before


def test_an_ended_transaction_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(thing, Transaction) for thing in gc.get_objects())
        bench = Bench()
        answer_all(bench)
        bench.receive(make_request("REGISTER"))
        invite = bench.invite_client()
        bench.receive(response_to(invite.request, 486))
        del invite
        bench.advance(32)
        bench.forget()
        assert bench.live == (0, 0, 0)
        assert sum(isinstance(thing, Transaction) for thing in gc.get_objects()) == before
    finally:
        gc.enable()


def test_a_user_that_fails_over_a_request_leaves_no_non_invite_transaction_behind() -> None:
    bench = Bench()

    def fail(transaction: ServerTransaction, request: Request, now: float) -> None:
        raise ZeroDivisionError

    bench.user.answer = fail
    for method in ("OPTIONS", "CANCEL"):
        with pytest.raises(ZeroDivisionError):
            bench.receive(make_request(method))
    assert bench.layer.server_count == 2
    bench.advance(32)
    assert bench.live == (0, 0, 0)


class Storm:
    """Random events for one layer, from both sides, in any order."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = Bench(max_server_transactions=self.rng.choice([3, 1000]))
        self.servers: list[tuple[ServerTransaction, Request]] = []
        self.clients: list[ClientTransaction] = []
        self.events = [
            self.request_comes,
            self.request_comes,
            self.request_goes,
            self.user_responds,
            self.response_comes,
            self.user_cancels,
            self.sending_fails,
            self.time_passes,
        ]

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.rng.choice(self.events)()
            ended = {details[0] for details in self.bench.user.of("terminated")}
            for transaction in self.transactions():
                assert (transaction.state is State.TERMINATED) == (transaction in ended)
                assert not (transaction in ended and transaction._timers)

    def transactions(self) -> list[ServerTransaction | ClientTransaction]:
        return [*(server for server, _ in self.servers), *self.clients]

    def request_comes(self) -> None:
        branch = self.rng.choice([f"z9hG4bK{self.rng.randrange(12)}", str(self.rng.randrange(3))])
        method = self.rng.choice(["INVITE", "OPTIONS", "REGISTER", "CANCEL", "ACK"])
        flow, to_tag = self.rng.choice([UDP, TCP]), self.rng.choice([None, "ours"])
        seen = len(self.bench.user.events)
        self.bench.receive(make_request(method, branch=branch, flow=flow, to_tag=to_tag), flow)
        for name, details in self.bench.user.events[seen:]:
            if name in ("request", "cancel"):
                self.servers.append((details[0], details[-1]))

    def request_goes(self) -> None:
        method, flow = self.rng.choice(["INVITE", "OPTIONS"]), self.rng.choice([UDP, TCP])
        request = make_request(method, branch=f"z9hG4bKc{len(self.clients)}", flow=flow)
        self.clients.append(self.bench.layer.send_request(request, flow, self.bench.now))

    def user_responds(self) -> None:
        if self.servers:
            server, request = self.rng.choice(self.servers)
            self.bench.respond(server, request, self.rng.choice([100, 183, 200, 408, 486]))

    def response_comes(self) -> None:
        if self.clients:
            client = self.rng.choice(self.clients)
            self.bench.receive(response_to(client.request, self.rng.choice([100, 183, 200, 302, 486])), client.flow)

    def user_cancels(self) -> None:
        invites = [client for client in self.clients if isinstance(client, InviteClientTransaction)]
        if invites:
            self.rng.choice(invites).cancel(self.bench.now)

    def sending_fails(self) -> None:
        if self.servers or self.clients:
            self.rng.choice(self.transactions()).transport_error("unreachable", self.bench.now)

    def time_passes(self) -> None:
        self.bench.advance(self.rng.choice([0.1, 1, 5, 20]))

    def settle(self) -> None:
        """What a user does in the end: answer every request, give up every INVITE."""
        for client in self.clients:
            if isinstance(client, InviteClientTransaction):
                client.cancel(self.bench.now)
        for server, request in self.servers:
            self.bench.respond(server, request, 500)
        self.bench.advance(100)


@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_events_keeps_the_layer_consistent_and_ends_in_nothing(seed: int) -> None:
    storm = Storm(seed)
    storm.run(400)
    storm.settle()
    assert storm.bench.live == (0, 0, 0)
    ended = [details[0] for details in storm.bench.user.of("terminated")]
    assert len(ended) == len(set(ended)) == len(storm.transactions())
    assert set(ended) == set(storm.transactions())
