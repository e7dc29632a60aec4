"""Client transactions: RFC 3261 17.1 with RFC 6026 7.2, cancelling by 9.1."""

from __future__ import annotations

import pytest

from sip.flow import Flow
from sip.message import Request, Response
from sip.timers import TimerSettings
from sip.transaction import Input, State
from sip.transaction_client import (
    INVITE_CLIENT,
    NON_INVITE_CLIENT,
    ClientTransaction,
    InviteClientTransaction,
)
from tests.support.transactions import FLOWS, TCP, UDP, Bench, response_to

both_transports = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)

# ------------------------------------------------------------------------------------------------ the tables
#
# The figures once more, by what can be seen from outside: (state, input) -> (next state, what is sent, what the user
# hears, timers running afterwards), over UDP.  Every other pair must change nothing.  Timers B and F run from the first
# copy on: before it nothing could come of them.

INVITE_STATES = (State.CALLING, State.PROCEEDING, State.COMPLETED, State.ACCEPTED)
INVITE_FIGURE_5 = {
    (State.CALLING, Input.TIMER_A): (State.CALLING, ["INVITE"], [], "AB"),
    (State.CALLING, Input.TIMER_B): (State.TERMINATED, [], ["client_timeout", "terminated"], ""),
    (State.CALLING, Input.TRANSPORT_ERROR): (State.TERMINATED, [], ["transport_error", "terminated"], ""),
    (State.CALLING, Input.RESPONSE_1XX): (State.PROCEEDING, [], ["response"], ""),
    (State.CALLING, Input.RESPONSE_2XX): (State.ACCEPTED, [], ["response"], "M"),
    (State.CALLING, Input.RESPONSE_300_699): (State.COMPLETED, ["ACK"], ["response"], "D"),
    (State.PROCEEDING, Input.RESPONSE_1XX): (State.PROCEEDING, [], ["response"], ""),
    (State.PROCEEDING, Input.RESPONSE_2XX): (State.ACCEPTED, [], ["response"], "M"),
    (State.PROCEEDING, Input.RESPONSE_300_699): (State.COMPLETED, ["ACK"], ["response"], "D"),
    (State.PROCEEDING, Input.TU_CANCEL): (State.PROCEEDING, ["CANCEL"], [], "64*T1 after CANCEL"),
    (State.PROCEEDING, Input.CANCEL_TIMEOUT): (State.TERMINATED, [], ["client_timeout", "terminated"], ""),
    (State.COMPLETED, Input.RESPONSE_300_699): (State.COMPLETED, ["ACK"], [], "D"),
    (State.COMPLETED, Input.TRANSPORT_ERROR): (State.TERMINATED, [], ["transport_error", "terminated"], ""),
    (State.COMPLETED, Input.TIMER_D): (State.TERMINATED, [], ["terminated"], ""),
    (State.ACCEPTED, Input.RESPONSE_2XX): (State.ACCEPTED, [], ["response"], "M"),
    (State.ACCEPTED, Input.TIMER_M): (State.TERMINATED, [], ["terminated"], ""),
}

NON_INVITE_STATES = (State.TRYING, State.PROCEEDING, State.COMPLETED)
NON_INVITE_FIGURE_6 = {
    (State.TRYING, Input.TIMER_E): (State.TRYING, ["OPTIONS"], [], "EF"),
    (State.TRYING, Input.TIMER_F): (State.TERMINATED, [], ["client_timeout", "terminated"], ""),
    (State.TRYING, Input.TRANSPORT_ERROR): (State.TERMINATED, [], ["transport_error", "terminated"], ""),
    (State.TRYING, Input.RESPONSE_1XX): (State.PROCEEDING, [], ["response"], "E"),
    (State.TRYING, Input.RESPONSE_200_699): (State.COMPLETED, [], ["response"], "K"),
    (State.PROCEEDING, Input.TIMER_E): (State.PROCEEDING, ["OPTIONS"], [], "EF"),
    (State.PROCEEDING, Input.TIMER_F): (State.TERMINATED, [], ["client_timeout", "terminated"], ""),
    (State.PROCEEDING, Input.TRANSPORT_ERROR): (State.TERMINATED, [], ["transport_error", "terminated"], ""),
    (State.PROCEEDING, Input.RESPONSE_1XX): (State.PROCEEDING, [], ["response"], "E"),
    (State.PROCEEDING, Input.RESPONSE_200_699): (State.COMPLETED, [], ["response"], "K"),
    (State.COMPLETED, Input.TIMER_K): (State.TERMINATED, [], ["terminated"], ""),
}

REACHED_BY = {State.PROCEEDING: 180, State.COMPLETED: 486, State.ACCEPTED: 200}


def running(transaction: ClientTransaction) -> str:
    return "".join(sorted(timer.value.removeprefix("timer ") for timer in transaction._timers or ()))


def feed(bench: Bench, transaction: ClientTransaction, what: Input) -> None:
    """Give the transaction one input, the way it comes in life where there is one."""
    status = {Input.RESPONSE_1XX: 183, Input.RESPONSE_2XX: 200, Input.RESPONSE_300_699: 603}.get(what)
    if what is Input.RESPONSE_200_699 and not isinstance(transaction, InviteClientTransaction):
        status = 200
    if status is not None and transaction.state is not State.TERMINATED:
        bench.receive(response_to(transaction.request, status), transaction.flow)
    elif what is Input.TU_CANCEL and isinstance(transaction, InviteClientTransaction):
        transaction.cancel(bench.now)
    elif what is Input.TRANSPORT_ERROR:
        transaction.transport_error("unreachable", bench.now)
    else:
        transaction._fire(what, bench.now)


def check_pair(
    bench: Bench,
    transaction: ClientTransaction,
    what: Input,
    expected: tuple[State, list[str], list[str], str] | None,
) -> None:
    bench.forget()
    before, timers_before = transaction.state, running(transaction)
    feed(bench, transaction, what)
    following, sent, told, timers = expected or (before, [], [], timers_before)
    assert transaction.state is following
    assert bench.what_sent() == sent
    assert bench.user.names == told
    assert running(transaction) == timers


@pytest.mark.parametrize("what", Input, ids=lambda what: what.name)
@pytest.mark.parametrize("state", [*INVITE_STATES, State.TERMINATED], ids=lambda state: state.name)
def test_figure_5_as_of_rfc_6026_every_pair(state: State, what: Input) -> None:
    bench = Bench()
    transaction = bench.invite_client()
    if state is State.TERMINATED:
        transaction.transport_error("unreachable", bench.now)
    elif state in REACHED_BY:
        bench.receive(response_to(transaction.request, REACHED_BY[state]))
    assert transaction.state is state
    check_pair(bench, transaction, what, INVITE_FIGURE_5.get((state, what)))


@pytest.mark.parametrize("what", Input, ids=lambda what: what.name)
@pytest.mark.parametrize("state", [*NON_INVITE_STATES, State.TERMINATED], ids=lambda state: state.name)
def test_figure_6_every_pair(state: State, what: Input) -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    if state is State.TERMINATED:
        transaction.transport_error("unreachable", bench.now)
    elif state in REACHED_BY:
        bench.receive(response_to(transaction.request, REACHED_BY[state]))
    assert transaction.state is state
    if what in (Input.RESPONSE_2XX, Input.RESPONSE_300_699):
        # To this machine a final response is a final response.
        what = Input.RESPONSE_200_699
    check_pair(bench, transaction, what, NON_INVITE_FIGURE_6.get((state, what)))


def test_the_tables_have_no_row_beyond_the_figures() -> None:
    # 9.1: a cancel in CALLING is only remembered; nothing of it shows.
    assert set(INVITE_CLIENT) == {*INVITE_FIGURE_5, (State.CALLING, Input.TU_CANCEL)}
    assert set(NON_INVITE_CLIENT) == set(NON_INVITE_FIGURE_6)


# ------------------------------------------------------------------------------------------------ INVITE, 17.1.1


def test_17_1_1_2_timer_a_doubles_without_t2_cap() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.advance(31.9)
    assert [sent.at for sent in bench.sent] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert {sent.data for sent in bench.sent} == {transaction.request.to_bytes()}
    assert all(sent.flow is UDP and sent.transaction is transaction for sent in bench.sent)


def test_17_1_1_2_no_timer_a_on_reliable_transports() -> None:
    bench = Bench()
    bench.invite_client(TCP)
    bench.advance(31.9)
    assert bench.what_sent() == ["INVITE"]


@both_transports
def test_17_1_1_2_timer_b_ends_an_unanswered_invite_after_64_t1(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.invite_client(flow)
    bench.advance(31.999)
    assert bench.user.events == []
    bench.advance(0.001)
    assert bench.user.events == [("client_timeout", (transaction, 1032.0)), ("terminated", (transaction,))]
    assert "ACK" not in bench.what_sent()
    assert bench.live == (0, 0, 0)


def test_17_1_1_2_t1_scales_timers_a_and_b() -> None:
    bench = Bench(TimerSettings(t1_s=0.25))
    bench.invite_client()
    bench.advance(100)
    assert [sent.at for sent in bench.sent] == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75]
    assert bench.user.of("client_timeout")[0][1] == 1016.0


def test_17_1_1_2_a_provisional_response_ends_retransmission_and_timer_b() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.advance(0.6)
    bench.receive(response_to(transaction.request, 100))
    assert len(bench.timers) == 0
    bench.advance(1000)
    assert bench.what_sent() == ["INVITE", "INVITE"]
    assert transaction.state is State.PROCEEDING
    assert bench.user.names == ["response"]


def test_17_1_1_2_every_provisional_response_goes_to_the_user() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    for status in (100, 180, 183, 180):
        bench.receive(response_to(transaction.request, status))
    received = [details[1] for details in bench.user.of("response")]
    assert [response.status for response in received if isinstance(response, Response)] == [100, 180, 183, 180]


def test_17_1_1_3_ack_is_built_from_the_request_and_the_to_of_the_response() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 486, to_tag="busy"))
    ack = bench.sent[-1].message
    invite = transaction.request
    assert bench.sent[-1].start_line == "ACK sip:bob@example.com SIP/2.0"
    assert bench.sent[-1].flow is UDP
    assert ack.headers.get_all("via") == [invite.headers.get("via")]
    assert (ack.call_id, ack.from_.tag, ack.to.tag) == (invite.call_id, invite.from_.tag, "busy")
    assert str(ack.cseq) == "7 ACK"


def test_17_1_1_2_timer_d_keeps_the_ack_for_copies_of_the_response_32_s() -> None:
    bench = Bench(TimerSettings(t1_s=0.01))
    transaction = bench.invite_client()
    copy = response_to(transaction.request, 486)
    bench.receive(copy)
    for _ in range(5):
        bench.advance(6)
        bench.receive(copy)
    acks = [sent for sent in bench.sent if sent.what == "ACK"]
    assert len(acks) == 6
    assert len({sent.data for sent in acks}) == 1
    assert bench.user.names == ["response"]
    bench.advance(2)
    assert bench.user.names == ["response", "terminated"]
    assert bench.elapsed == 32
    bench.receive(copy)
    assert bench.user.names[2:] == ["stray_response"]


def test_17_1_1_2_timer_d_is_0_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.invite_client(TCP)
    bench.receive(response_to(transaction.request, 486), TCP)
    assert bench.what_sent() == ["INVITE", "ACK"]
    assert bench.user.names == ["response", "terminated"]
    assert transaction.state is State.TERMINATED
    assert bench.live == (0, 0, 0)


@both_transports
def test_rfc_6026_7_2_timer_m_lets_every_2xx_through_for_64_t1(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.invite_client(flow)
    forks = ["one", "one", "two", "one", "three"]
    for tag in forks:
        bench.receive(response_to(transaction.request, 200, to_tag=tag), flow)
        bench.advance(6)
    tags = [details[1].to.tag for details in bench.user.of("response") if isinstance(details[1], Response)]
    assert tags == forks
    assert "ACK" not in bench.what_sent()
    bench.advance(1.999)
    assert transaction.state is State.ACCEPTED
    bench.advance(0.001)
    assert transaction.state is State.TERMINATED
    assert bench.live == (0, 0, 0)
    bench.receive(response_to(transaction.request, 200), flow)
    assert bench.user.names[-1] == "stray_response"


def test_rfc_6026_7_2_other_responses_after_a_2xx_are_absorbed() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 200))
    for status in (180, 486):
        bench.receive(response_to(transaction.request, status))
    assert bench.user.names == ["response"]
    assert bench.what_sent() == ["INVITE"]


def test_17_1_4_transport_error_ends_the_transaction_and_is_told_once() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    transaction.transport_error("no route", bench.now)
    transaction.transport_error("no route", bench.now)
    assert bench.user.events == [("transport_error", (transaction, "no route")), ("terminated", (transaction,))]
    assert bench.live == (0, 0, 0)


def test_17_1_4_the_failed_ack_of_a_reliable_transport_finds_no_transaction_to_end() -> None:
    bench = Bench()
    transaction = bench.invite_client(TCP)
    bench.receive(response_to(transaction.request, 486), TCP)
    bench.forget()
    transaction.transport_error("connection reset", bench.now)
    assert bench.user.events == []


# ------------------------------------------------------------------------------------------------ CANCEL, 9.1


@both_transports
def test_9_1_cancel_waits_for_the_first_provisional(flow: Flow) -> None:
    bench = Bench()
    transaction = bench.invite_client(flow)
    transaction.cancel(bench.now)
    bench.advance(1)
    assert "CANCEL" not in bench.what_sent()
    assert transaction.cancelled
    bench.receive(response_to(transaction.request, 100), flow)
    assert bench.sent[-1].what == "CANCEL"
    assert bench.sent[-1].flow is flow


def test_9_1_cancel_goes_at_once_after_a_provisional() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    assert not transaction.cancelled
    transaction.cancel(bench.now)
    assert bench.what_sent() == ["INVITE", "CANCEL"]


@pytest.mark.parametrize("status", [200, 302, 487])
def test_9_1_no_cancel_when_the_final_response_comes_first(status: int) -> None:
    bench = Bench()
    transaction = bench.invite_client()
    transaction.cancel(bench.now)
    bench.receive(response_to(transaction.request, status))
    bench.advance(100)
    assert "CANCEL" not in bench.what_sent()
    assert bench.user.names == ["response", "terminated"]


@pytest.mark.parametrize("status", [200, 486])
def test_9_1_cancel_after_the_final_response_does_nothing(status: int) -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, status))
    before = list(bench.sent)
    transaction.cancel(bench.now)
    assert bench.sent == before
    assert bench.layer.client_count == 1


def test_9_1_an_invite_without_any_response_times_out_though_cancelled() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    transaction.cancel(bench.now)
    bench.advance(32)
    assert bench.user.names == ["client_timeout", "terminated"]
    assert "CANCEL" not in bench.what_sent()
    assert bench.live == (0, 0, 0)


def test_9_1_cancel_repeats_what_the_invite_said_and_carries_the_given_headers() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    transaction.cancel(bench.now, [("Reason", 'SIP;cause=200;text="Call completed elsewhere"')])
    cancel, invite = bench.sent[-1].message, transaction.request
    assert bench.sent[-1].start_line == "CANCEL sip:bob@example.com SIP/2.0"
    for name in ("via", "from", "to", "call-id"):
        assert cancel.headers.get_all(name) == invite.headers.get_all(name)
    assert str(cancel.cseq) == "7 CANCEL"
    assert cancel.headers.get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'


def test_9_1_only_the_first_cancel_counts() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    transaction.cancel(bench.now, [("Reason", "SIP;cause=487")])
    transaction.cancel(bench.now, [("Reason", "SIP;cause=200")])
    bench.receive(response_to(transaction.request, 180))
    transaction.cancel(bench.now)
    bench.receive(response_to(transaction.request, 180))
    cancels = [sent.message for sent in bench.sent if sent.what == "CANCEL"]
    assert [cancel.headers.get("reason") for cancel in cancels] == ["SIP;cause=487"]


def test_9_1_cancel_is_a_transaction_of_its_own_whose_answers_go_nowhere() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    transaction.cancel(bench.now)
    assert bench.layer.client_count == 2
    cancel = bench.sent[-1]
    bench.forget()
    bench.advance(1.5)
    assert [sent.data for sent in bench.sent] == [cancel.data, cancel.data]
    assert cancel.transaction is not transaction
    bench.receive(response_to(transaction.request, 180))
    request = cancel.message
    assert isinstance(request, Request)
    for _ in range(2):
        bench.receive(response_to(request, 200))
    bench.advance(5)
    assert bench.user.names == ["response"]
    assert bench.layer.client_count == 1
    assert len(bench.sent) == 2


def test_9_1_an_unanswered_or_failed_cancel_is_not_the_users_business() -> None:
    for ending in ("timer F", "transport error"):
        bench = Bench()
        transaction = bench.invite_client()
        bench.receive(response_to(transaction.request, 180))
        transaction.cancel(bench.now)
        cancel = bench.sent[-1].transaction
        bench.receive(response_to(transaction.request, 487))
        bench.forget()
        if ending == "timer F":
            bench.advance(31.9)
        else:
            assert cancel is not None
            cancel.transport_error("unreachable", bench.now)
        assert bench.user.events == []
        bench.advance(32)
        assert bench.user.events == [("terminated", (transaction,))]
        assert bench.live == (0, 0, 0)


def test_9_1_cancelled_invite_without_final_response_ends_64_t1_after_the_cancel() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    bench.advance(100)
    transaction.cancel(bench.now)
    bench.receive(response_to(transaction.request, 180))
    bench.forget()
    bench.advance(31.9)
    assert bench.user.events == []
    bench.advance(0.1)
    assert bench.user.events == [("client_timeout", (transaction, 1132.0)), ("terminated", (transaction,))]
    assert bench.live == (0, 0, 0)


def test_9_1_487_after_cancel_is_an_ordinary_final_response() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    transaction.cancel(bench.now)
    bench.receive(response_to(transaction.request, 487))
    assert bench.what_sent() == ["INVITE", "CANCEL", "ACK"]
    bench.advance(100)
    assert "client_timeout" not in bench.user.names
    assert bench.live == (0, 0, 0)


def test_9_1_a_200_that_crosses_the_cancel_still_reaches_the_user() -> None:
    bench = Bench()
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    transaction.cancel(bench.now)
    bench.receive(response_to(transaction.request, 200))
    assert bench.user.names == ["response", "response"]
    assert transaction.state is State.ACCEPTED
    bench.advance(100)
    assert "client_timeout" not in bench.user.names


def test_9_1_the_user_may_cancel_while_it_is_told_of_the_provisional() -> None:
    bench = Bench()

    def cancel(transaction: ClientTransaction, response: Response, now: float) -> None:
        assert isinstance(transaction, InviteClientTransaction)
        transaction.cancel(now)

    bench.user.on_any_response = cancel
    transaction = bench.invite_client()
    bench.receive(response_to(transaction.request, 180))
    assert bench.what_sent() == ["INVITE", "CANCEL"]


# ------------------------------------------------------------------------------------------------ others, 17.1.2


def test_17_1_2_2_timer_e_doubles_to_t2() -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    bench.advance(31.9)
    assert [sent.at for sent in bench.sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert {sent.data for sent in bench.sent} == {transaction.request.to_bytes()}


def test_17_1_2_2_timer_e_runs_at_t2_after_a_provisional() -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    bench.advance(0.7)
    bench.receive(response_to(transaction.request, 100))
    bench.advance(12)
    assert [sent.at for sent in bench.sent] == [0, 0.5, 1.5, 5.5, 9.5]
    assert len({sent.data for sent in bench.sent}) == 1


def test_17_1_2_2_no_timer_e_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.non_invite_client(TCP)
    bench.receive(response_to(transaction.request, 100), TCP)
    bench.advance(31.9)
    assert bench.what_sent() == ["OPTIONS"]


@both_transports
@pytest.mark.parametrize("provisional", [False, True])
def test_17_1_2_2_timer_f_ends_it_after_64_t1_with_or_without_a_provisional(flow: Flow, provisional: bool) -> None:
    bench = Bench()
    transaction = bench.non_invite_client(flow)
    bench.advance(20)
    if provisional:
        bench.receive(response_to(transaction.request, 100), flow)
        bench.forget()
    bench.advance(11.9)
    assert bench.user.events == []
    bench.advance(0.1)
    assert bench.user.names == ["client_timeout", "terminated"]
    assert bench.live == (0, 0, 0)


@pytest.mark.parametrize("status", [200, 302, 401, 503, 603])
def test_17_1_2_2_timer_k_absorbs_copies_for_t4(status: int) -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    final = response_to(transaction.request, status)
    bench.receive(final)
    bench.advance(4.9)
    bench.receive(final)
    assert bench.user.names == ["response"]
    bench.advance(0.1)
    assert bench.user.names == ["response", "terminated"]
    assert bench.what_sent() == ["OPTIONS"]
    assert bench.live == (0, 0, 0)


def test_17_1_2_2_timer_k_is_0_on_reliable_transports() -> None:
    bench = Bench()
    transaction = bench.non_invite_client(TCP)
    bench.receive(response_to(transaction.request, 200), TCP)
    assert bench.user.names == ["response", "terminated"]
    assert bench.live == (0, 0, 0)


def test_rfc_4320_4_2_a_response_after_timer_f_is_a_stray() -> None:
    bench = Bench()
    transaction = bench.non_invite_client()
    bench.advance(32)
    bench.receive(response_to(transaction.request, 200))
    assert bench.user.names == ["client_timeout", "terminated", "stray_response"]


@both_transports
def test_context_and_flow_stay_with_the_transaction(flow: Flow) -> None:
    bench = Bench()
    mark = object()
    first = bench.non_invite_client(flow)
    assert first.context is None
    first.context = mark
    bench.receive(response_to(first.request, 200), flow)
    told = bench.user.of("response")[0]
    assert told[0] is first
    assert told[2] is flow
    assert first.context is mark


@both_transports
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
@pytest.mark.parametrize("status", [200, 486])
def test_a_user_that_fails_over_a_response_leaves_no_transaction_behind(flow: Flow, method: str, status: int) -> None:
    bench = Bench()

    def fail(transaction: ClientTransaction, response: Response, now: float) -> None:
        raise ZeroDivisionError

    bench.user.on_any_response = fail
    transaction = bench.invite_client(flow) if method == "INVITE" else bench.non_invite_client(flow)
    with pytest.raises(ZeroDivisionError):
        bench.receive(response_to(transaction.request, status), flow)
    bench.advance(32)
    assert bench.live == (0, 0, 0)
    assert bench.user.names == ["response", "terminated"]


@pytest.mark.parametrize(("method", "status"), [("INVITE", 180), ("INVITE", 200), ("OPTIONS", 200)])
def test_the_bytes_to_repeat_are_let_go_when_nothing_is_repeated_any_more(method: str, status: int) -> None:
    bench = Bench()
    transaction = bench.invite_client() if method == "INVITE" else bench.non_invite_client()
    assert transaction._data == bench.sent[0].data
    bench.receive(response_to(transaction.request, status))
    assert transaction._data == b""
