"""Server transactions: RFC 3261 17.2 with RFC 6026 7.1 and RFC 4320 4."""

from __future__ import annotations

import pytest

from sip.errors import LocalProtocolError
from sip.flow import Flow, stamp_via
from sip.message import Request, make_response
from sip.timers import TimerSettings
from sip.transaction import Input, State
from sip.transaction_server import (
    INVITE_SERVER,
    NON_INVITE_SERVER,
    InviteServerTransaction,
    ServerTransaction,
)
from tests.support.transactions import FLOWS, TCP, UDP, Bench, make_request

both_transports = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)

# ------------------------------------------------------------------------------------------------ the tables
#
# The figures once more, by what can be seen from outside: (state, input) -> (next state, what is sent, what the user
# hears, timers running afterwards), over UDP.  Every other pair must change nothing.

INVITE_STATES = (State.PROCEEDING, State.COMPLETED, State.CONFIRMED, State.ACCEPTED)
INVITE_FIGURE_7 = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, ["180"], [], ""),
    (State.PROCEEDING, Input.TU_1XX): (State.PROCEEDING, ["183"], [], ""),
    (State.PROCEEDING, Input.TU_2XX): (State.ACCEPTED, ["200"], [], "L"),
    (State.PROCEEDING, Input.TU_300_699): (State.COMPLETED, ["603"], [], "GH"),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, [], ["transport_error"], ""),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, ["486"], [], "GH"),
    (State.COMPLETED, Input.TIMER_G): (State.COMPLETED, ["486"], [], "GH"),
    (State.COMPLETED, Input.TIMER_H): (State.TERMINATED, [], ["ack_timeout", "terminated"], ""),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, [], [], "I"),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, [], ["transport_error"], "GH"),
    (State.CONFIRMED, Input.TIMER_I): (State.TERMINATED, [], ["terminated"], ""),
    (State.ACCEPTED, Input.TU_2XX): (State.ACCEPTED, ["200"], [], "L"),
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, [], ["ack"], "L"),
    (State.ACCEPTED, Input.TIMER_L): (State.TERMINATED, [], ["terminated"], ""),
    (State.ACCEPTED, Input.TRANSPORT_ERROR): (State.ACCEPTED, [], ["transport_error"], "L"),
}

# The timers without a letter: "T" for the 100 of RFC 4320, "X" for the end of the client's patience.
NON_INVITE_STATES = (State.TRYING, State.PROCEEDING, State.COMPLETED)
NON_INVITE_FIGURE_8 = {
    (State.TRYING, Input.TRYING_DUE): (State.PROCEEDING, ["100"], [], "X"),
    (State.TRYING, Input.TU_200_699): (State.COMPLETED, ["200"], [], ""),
    (State.TRYING, Input.TU_408): (State.TERMINATED, [], ["terminated"], ""),
    (State.TRYING, Input.EXPIRY): (State.TERMINATED, [], ["terminated"], ""),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, ["100"], [], "X"),
    (State.PROCEEDING, Input.TU_200_699): (State.COMPLETED, ["200"], [], ""),
    (State.PROCEEDING, Input.TU_408): (State.TERMINATED, [], ["terminated"], ""),
    (State.PROCEEDING, Input.EXPIRY): (State.TERMINATED, [], ["terminated"], ""),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.PROCEEDING, [], ["transport_error"], "X"),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, ["404"], [], ""),
    (State.COMPLETED, Input.TIMER_J): (State.TERMINATED, [], ["terminated"], ""),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.COMPLETED, [], ["transport_error"], ""),
}

TU_STATUS = {Input.TU_1XX: 183, Input.TU_2XX: 200, Input.TU_300_699: 603, Input.TU_408: 408}
LETTERLESS = {Input.TRYING_DUE: "T", Input.EXPIRY: "X"}


def running(transaction: ServerTransaction) -> str:
    timers = transaction._timers or ()
    return "".join(sorted(LETTERLESS.get(timer, timer.value.removeprefix("timer ")) for timer in timers))


def feed(bench: Bench, transaction: ServerTransaction, request: Request, what: Input) -> None:
    """Give the transaction one input, the way it comes in life where there is one."""
    invite = isinstance(transaction, InviteServerTransaction)
    status = 200 if what is Input.TU_200_699 and not invite else TU_STATUS.get(what)
    if what is Input.REQUEST:
        transaction.receive(request, transaction.flow, bench.now)
    elif what is Input.ACK and invite:
        transaction.receive(make_request("ACK"), transaction.flow, bench.now)
    elif status is not None and not (invite and status == 408):
        bench.respond(transaction, request, status)
    elif what is Input.TRANSPORT_ERROR:
        transaction.transport_error("unreachable", bench.now)
    else:
        transaction._fire(what, bench.now)


def check_pair(
    bench: Bench,
    transaction: ServerTransaction,
    request: Request,
    what: Input,
    expected: tuple[State, list[str], list[str], str] | None,
) -> None:
    bench.forget()
    before, timers_before = transaction.state, running(transaction)
    feed(bench, transaction, request, what)
    following, sent, told, timers = expected or (before, [], [], timers_before)
    assert transaction.state is following
    assert bench.what_sent() == sent
    assert bench.user.names == told
    assert running(transaction) == timers


@pytest.mark.parametrize("what", Input, ids=lambda what: what.name)
@pytest.mark.parametrize("state", [*INVITE_STATES, State.TERMINATED], ids=lambda state: state.name)
def test_figure_7_as_of_rfc_6026_every_pair(state: State, what: Input) -> None:
    bench = Bench()
    transaction = bench.invite_server()
    request = transaction.request
    if state is State.PROCEEDING:
        bench.respond(transaction, request, 180)
    elif state is State.ACCEPTED:
        bench.respond(transaction, request, 200)
    else:
        bench.respond(transaction, request, 486)
        if state is not State.COMPLETED:
            bench.receive(make_request("ACK", to_tag="ours"))
        if state is State.TERMINATED:
            bench.advance(5)
    assert transaction.state is state
    check_pair(bench, transaction, request, what, INVITE_FIGURE_7.get((state, what)))


@pytest.mark.parametrize("what", Input, ids=lambda what: what.name)
@pytest.mark.parametrize("state", [*NON_INVITE_STATES, State.TERMINATED], ids=lambda state: state.name)
def test_figure_8_as_of_rfc_4320_every_pair(state: State, what: Input) -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    request = transaction.request
    if state is State.PROCEEDING:
        bench.advance(3.5)
    elif state is not State.TRYING:
        bench.respond(transaction, request, 404)
        if state is State.TERMINATED:
            bench.advance(32)
    assert transaction.state is state
    # To this machine a final response is a final response.
    row = Input.TU_200_699 if what in (Input.TU_2XX, Input.TU_300_699) else what
    expected = NON_INVITE_FIGURE_8.get((state, row))
    if expected is not None and what is Input.TU_300_699:
        expected = (expected[0], ["603"], expected[2], expected[3])
    check_pair(bench, transaction, request, what, expected)


def test_the_tables_have_no_row_beyond_the_figures() -> None:
    assert set(INVITE_SERVER) == set(INVITE_FIGURE_7)
    assert set(NON_INVITE_SERVER) == set(NON_INVITE_FIGURE_8)


# ------------------------------------------------------------------------------------------------ INVITE, 17.2.1


def test_17_2_1_a_copy_gets_the_latest_provisional_again() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    for status in (100, 180, 183):
        bench.respond(transaction, transaction.request, status)
        bench.receive(make_request("INVITE"))
    assert bench.what_sent() == ["100", "100", "180", "180", "183", "183"]
    assert all(bench.sent[n].data == bench.sent[n + 1].data for n in (0, 2, 4))
    assert bench.user.names == ["request"]


def test_17_2_1_a_copy_before_any_response_gets_nothing() -> None:
    bench = Bench()
    bench.invite_server()
    bench.receive(make_request("INVITE"))
    assert bench.sent == []
    assert bench.user.names == ["request"]


def test_17_2_1_proceeding_is_not_timed() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 180)
    assert len(bench.timers) == 0


def test_17_2_1_timer_g_doubles_to_t2_until_timer_h() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 486)
    bench.advance(31.9)
    assert [sent.at for sent in bench.sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len({sent.data for sent in bench.sent}) == 1
    assert all(sent.transaction is transaction for sent in bench.sent)


def test_17_2_1_no_timer_g_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.invite_server(TCP)
    bench.respond(transaction, transaction.request, 486)
    bench.advance(31.9)
    assert bench.what_sent() == ["486"]


@both_transports
def test_17_2_1_timer_h_tells_the_user_that_no_ack_came(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.invite_server(flow)
    bench.respond(transaction, transaction.request, 486)
    bench.forget()
    bench.advance(31.999)
    assert bench.user.events == []
    bench.advance(0.001)
    assert bench.user.events == [("ack_timeout", (transaction, 1032.0)), ("terminated", (transaction,))]
    assert bench.live == (0, 0, 0)


def test_17_2_1_a_copy_in_completed_gets_the_final_response_again() -> None:
    bench = Bench()
    transaction = bench.invite_server(TCP)
    bench.respond(transaction, transaction.request, 486)
    bench.receive(make_request("INVITE", flow=TCP), TCP)
    assert len(bench.sent) == 2
    assert bench.sent[0].data == bench.sent[1].data


def test_17_2_1_ack_ends_the_retransmission_of_the_response() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 486)
    bench.advance(0.6)
    bench.receive(make_request("ACK", to_tag="ours"))
    assert transaction.state is State.CONFIRMED
    bench.advance(100)
    assert bench.what_sent() == ["486", "486"]
    assert bench.user.names == ["request", "terminated"]


def test_17_2_1_timer_i_absorbs_further_acks_for_t4() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 486)
    ack = make_request("ACK", to_tag="ours")
    bench.receive(ack)
    bench.advance(4.9)
    bench.receive(ack)
    assert bench.user.names == ["request"]
    assert bench.layer.server_count == 1
    bench.advance(0.1)
    assert bench.user.names == ["request", "terminated"]
    assert bench.live == (0, 0, 0)


def test_17_2_1_timer_i_is_0_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.invite_server(TCP)
    bench.respond(transaction, transaction.request, 486)
    bench.receive(make_request("ACK", to_tag="ours", flow=TCP), TCP)
    assert transaction.state is State.TERMINATED
    assert bench.live == (0, 0, 0)


@both_transports
def test_rfc_6026_7_1_timer_l_absorbs_invite_copies_for_64_t1(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.invite_server(flow)
    bench.respond(transaction, transaction.request, 200)
    bench.advance(31.999)
    bench.receive(make_request("INVITE", flow=flow), flow)
    assert bench.what_sent() == ["200"]
    assert bench.user.names == ["request"]
    bench.advance(0.001)
    assert bench.user.names == ["request", "terminated"]
    assert bench.live == (0, 0, 0)


def test_rfc_6026_7_1_repeated_2xx_of_the_user_goes_out_each_time() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    answer = make_response(transaction.request, 200, to_tag="callee")
    for _ in range(3):
        transaction.respond(answer, bench.now)
        bench.advance(1)
    assert bench.what_sent() == ["200", "200", "200"]
    assert len({sent.data for sent in bench.sent}) == 1


def test_rfc_6026_7_1_the_2xx_is_not_retransmitted_by_the_transaction() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 200)
    bench.advance(31)
    assert bench.what_sent() == ["200"]


def test_rfc_6026_7_1_ack_in_accepted_goes_to_the_user() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    bench.respond(transaction, transaction.request, 200)
    ack = make_request("ACK", to_tag="ours")
    bench.receive(ack)
    bench.receive(ack)
    assert bench.user.of("ack") == [(ack, UDP, transaction)] * 2


@pytest.mark.parametrize("status", [None, 180, 200, 486])
def test_rfc_6026_7_1_transport_error_is_told_and_copies_are_still_absorbed(status: int | None) -> None:
    bench = Bench()
    transaction = bench.invite_server()
    if status is not None:
        bench.respond(transaction, transaction.request, status)
    before = transaction.state
    transaction.transport_error("unreachable", bench.now)
    assert bench.user.of("transport_error") == [(transaction, "unreachable")]
    assert transaction.state is before
    bench.receive(make_request("INVITE"))
    assert bench.user.names.count("request") == 1


def test_rfc_6026_8_3_a_response_too_late_is_discarded() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    request = transaction.request
    bench.respond(transaction, request, 200)
    bench.advance(32)
    bench.respond(transaction, request, 200)
    assert bench.what_sent() == ["200"]
    assert bench.live == (0, 0, 0)


# ------------------------------------------------------------------------------------------------ others, 17.2.2


def test_17_2_2_timer_j_answers_copies_for_64_t1() -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    bench.respond(transaction, transaction.request, 200)
    bench.advance(31.999)
    bench.receive(make_request("OPTIONS"))
    assert [sent.at for sent in bench.sent] == [0, pytest.approx(31.999)]
    assert bench.sent[0].data == bench.sent[1].data
    assert bench.user.names == ["request"]
    bench.advance(0.001)
    assert bench.user.names == ["request", "terminated"]
    assert bench.live == (0, 0, 0)


def test_17_2_2_timer_j_is_0_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.non_invite_server(TCP)
    bench.respond(transaction, transaction.request, 200)
    assert bench.what_sent() == ["200"]
    assert bench.user.names == ["request", "terminated"]
    assert bench.live == (0, 0, 0)


def test_17_2_2_timer_j_follows_t1() -> None:
    bench = Bench(TimerSettings(t1_s=0.25))
    transaction = bench.non_invite_server()
    bench.respond(transaction, transaction.request, 200)
    bench.advance(15.9)
    assert bench.layer.server_count == 1
    bench.advance(0.1)
    assert bench.live == (0, 0, 0)


def test_17_2_2_each_timer_j_counts_from_its_own_response() -> None:
    bench = Bench()
    for number in range(3):
        bench.receive(make_request("OPTIONS", branch=f"z9hG4bK{number}"))
        transaction, request = bench.user.of("request")[-1]
        assert isinstance(transaction, ServerTransaction)
        assert isinstance(request, Request)
        bench.respond(transaction, request, 200)
        bench.advance(1)
    assert len(bench.timers) == 1
    bench.advance(28.9)
    ended = []
    for _ in range(4):
        ended.append(bench.user.names.count("terminated"))
        bench.advance(1)
    assert ended == [0, 1, 2, 3]
    assert bench.live == (0, 0, 0)


def test_17_2_2_a_second_final_response_is_discarded() -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    request = transaction.request
    bench.respond(transaction, request, 200)
    bench.respond(transaction, request, 500)
    bench.receive(make_request("OPTIONS"))
    assert bench.what_sent() == ["200", "200"]


def test_17_2_2_an_answer_at_once_needs_no_timer_but_j() -> None:
    bench = Bench()
    bench.user.answer = lambda transaction, request, now: bench.respond(transaction, request, 200)
    bench.receive(make_request("REGISTER"))
    assert bench.timers._started == 1
    assert bench.timers.next_deadline() == 1032.0


def test_17_2_2_completed_lets_the_request_go() -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    assert transaction.request.method == "OPTIONS"
    bench.respond(transaction, transaction.request, 200)
    with pytest.raises(LocalProtocolError):
        _ = transaction.request


def test_rfc_4320_4_1_the_100_comes_when_timer_e_would_reach_t2_and_not_before() -> None:
    for flow in (UDP, TCP):
        bench = Bench()
        bench.non_invite_server(flow)
        bench.advance(3.4)
        assert bench.sent == []
        bench.advance(20)
        assert [(sent.at, sent.what) for sent in bench.sent] == [(3.5, "100")]


def test_rfc_4320_4_1_a_copy_gets_the_100_again_once_it_is_due() -> None:
    bench = Bench()
    bench.non_invite_server()
    bench.receive(make_request("OPTIONS"))
    assert bench.sent == []
    bench.advance(3.5)
    bench.receive(make_request("OPTIONS"))
    assert bench.what_sent() == ["100", "100"]
    assert bench.sent[0].data == bench.sent[1].data
    assert bench.user.names == ["request"]


@pytest.mark.parametrize("status", [100, 180, 183])
@pytest.mark.parametrize("wait_s", [0, 5])
def test_rfc_4320_4_1_provisionals_of_the_user_are_discarded(status: int, wait_s: float) -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    bench.advance(wait_s)
    before = list(bench.sent)
    bench.respond(transaction, transaction.request, status)
    assert bench.sent == before


@both_transports
@pytest.mark.parametrize("wait_s", [0, 5])
def test_rfc_4320_4_2_408_is_never_sent_and_ends_the_transaction(flow: Flow, wait_s: float) -> None:
    bench = Bench()
    transaction = bench.non_invite_server(flow)
    bench.advance(wait_s)
    bench.forget()
    bench.respond(transaction, transaction.request, 408)
    assert bench.sent == []
    assert bench.user.names == ["terminated"]
    assert bench.live == (0, 0, 0)


@both_transports
def test_rfc_4320_4_2_who_has_not_answered_when_the_client_gives_up_never_does(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.non_invite_server(flow)
    request = transaction.request
    bench.advance(31.9)
    assert bench.layer.server_count == 1
    bench.advance(0.1)
    assert bench.user.names == ["request", "terminated"]
    bench.respond(transaction, request, 200)
    assert bench.what_sent() == ["100"]
    assert bench.live == (0, 0, 0)


def test_rfc_4320_4_2_a_t2_too_long_for_any_100_still_ends_the_transaction() -> None:
    bench = Bench(TimerSettings(t2_s=1000.0))
    bench.non_invite_server()
    bench.advance(32)
    assert bench.sent == []
    assert bench.live == (0, 0, 0)


def test_a_slow_answer_stops_both_waits() -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    bench.advance(10)
    bench.respond(transaction, transaction.request, 200)
    assert len(bench.timers) == 1
    bench.advance(31.9)
    assert bench.layer.server_count == 1
    bench.advance(0.1)
    assert bench.what_sent() == ["100", "200"]
    assert bench.live == (0, 0, 0)


def test_rfc_6026_8_8_transport_error_leaves_a_non_invite_transaction_where_it_is() -> None:
    bench = Bench()
    transaction = bench.non_invite_server()
    bench.respond(transaction, transaction.request, 200)
    transaction.transport_error("unreachable", bench.now)
    bench.receive(make_request("OPTIONS"))
    assert bench.user.names == ["request", "transport_error"]
    assert bench.what_sent() == ["200", "200"]
    bench.advance(32)
    assert bench.live == (0, 0, 0)


# ------------------------------------------------------------------------------------------------ destination


def test_18_2_2_responses_go_to_the_source_address_and_the_sent_by_port() -> None:
    came_by = Flow("UDP", "192.0.2.1", 5060, "192.0.2.7", 32000)
    bench = Bench()
    bench.receive(make_request("OPTIONS", sent_by="192.0.2.7:5070"), came_by)
    transaction, request = bench.user.of("request")[0]
    assert isinstance(transaction, ServerTransaction)
    assert isinstance(request, Request)
    bench.respond(transaction, request, 200)
    bench.receive(make_request("OPTIONS", sent_by="192.0.2.7:5070"), came_by)
    assert [sent.flow.remote for sent in bench.sent] == [("192.0.2.7", 5070)] * 2
    assert transaction.flow is came_by


def test_rfc_3581_responses_go_back_to_the_source_port_when_rport_is_asked_for() -> None:
    came_by = Flow("UDP", "192.0.2.1", 5060, "192.0.2.7", 32000)
    request = make_request("INVITE", branch="z9hG4bKone;rport", sent_by="192.0.2.7:5070")
    stamp_via(request, came_by)
    bench = Bench()
    bench.receive(request, came_by)
    transaction = bench.user.of("request")[0][0]
    assert isinstance(transaction, ServerTransaction)
    bench.respond(transaction, request, 486)
    bench.advance(1)
    assert [sent.flow for sent in bench.sent] == [came_by, came_by]


def test_18_2_2_the_destination_does_not_follow_changes_to_the_request() -> None:
    bench = Bench()
    transaction = bench.invite_server()
    answer = make_response(transaction.request, 486, to_tag="ours")
    transaction.request.headers.push("Via", "SIP/2.0/UDP 198.51.100.1:9;branch=z9hG4bKours")
    transaction.respond(answer, bench.now)
    assert bench.sent[0].flow.remote == ("192.0.2.7", 5060)


def test_18_2_2_responses_stay_on_the_connection_of_the_request() -> None:
    bench = Bench()
    transaction = bench.invite_server(TCP)
    bench.respond(transaction, transaction.request, 180)
    assert bench.sent[0].flow is TCP
