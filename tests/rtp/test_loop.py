from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from rtp.loop import RelayLoop
from rtp.poller import SelectorPoller, new_poller

TIMEOUT_S = 10.0


@pytest.fixture(params=[new_poller, SelectorPoller])
def loop(request: pytest.FixtureRequest) -> Iterator[RelayLoop]:
    loop = RelayLoop(lambda: 5.0, request.param())
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield loop
    loop.stop()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    yield near, far
    near.close()
    far.close()


class Reader:
    """A handler that reads one datagram and says so."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got: list[tuple[bytes, float]] = []
        self.event = threading.Event()

    def __call__(self, now: float) -> None:
        self.got.append((self.sock.recv(100), now))
        self.event.set()


def ask(loop: RelayLoop, question: Callable[[], object]) -> object:
    answer: list[object] = []
    done = threading.Event()

    def command() -> None:
        answer.append(question())
        done.set()

    loop.post(command)
    assert done.wait(TIMEOUT_S)
    return answer[0]


def test_commands_run_in_order_on_the_loops_thread(loop: RelayLoop) -> None:
    seen: list[tuple[int, int]] = []
    for number in range(1000):
        loop.post(lambda number=number: seen.append((number, threading.get_ident())))
    loop_thread = ask(loop, threading.get_ident)
    assert seen == [(number, loop_thread) for number in range(1000)]
    assert loop_thread != threading.get_ident()


def test_many_threads_may_post(loop: RelayLoop) -> None:
    count: list[int] = []
    threads = [
        threading.Thread(target=lambda: [loop.post(lambda: count.append(1)) for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert ask(loop, lambda: len(count)) == 2000


def test_handler_gets_the_time_of_the_round(loop: RelayLoop, pair: tuple[socket.socket, socket.socket]) -> None:
    reader = Reader(pair[0])
    loop.post(lambda: loop.add(pair[0], reader))
    pair[1].send(b"hello")
    assert reader.event.wait(TIMEOUT_S)
    assert reader.got == [(b"hello", 5.0)]


def test_a_command_runs_before_packets_sent_after_it(
    loop: RelayLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    order: list[str] = []
    done = threading.Event()

    def read(_now: float) -> None:
        order.append(pair[0].recv(100).decode())
        if len(order) == 400:
            done.set()

    loop.post(lambda: loop.add(pair[0], read))
    for number in range(200):
        loop.post(lambda number=number: order.append(f"command {number}"))
        pair[1].send(f"packet {number}".encode())
    assert done.wait(TIMEOUT_S)
    for number in range(200):
        assert order.index(f"command {number}") < order.index(f"packet {number}")


def test_removed_socket_is_closed_and_no_longer_served(
    loop: RelayLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    reader = Reader(pair[0])
    loop.post(lambda: loop.add(pair[0], reader))
    loop.post(lambda: loop.remove(pair[0]))
    ask(loop, lambda: None)
    ask(loop, lambda: None)
    assert pair[0].fileno() == -1
    with pytest.raises(OSError):
        pair[1].send(b"too late")
    assert reader.got == []


def test_a_socket_removed_by_another_handler_of_the_same_round(loop: RelayLoop) -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    calls: list[int] = []

    def handler(index: int) -> Callable[[float], None]:
        def remove_both(_now: float) -> None:
            calls.append(index)
            for near, _ in pairs:
                loop.remove(near)

        return remove_both

    def add_both() -> None:
        for index, (near, _) in enumerate(pairs):
            loop.add(near, handler(index))
        for _, far in pairs:
            far.send(b"x")

    loop.post(add_both)
    ask(loop, lambda: None)
    ask(loop, lambda: None)
    ask(loop, lambda: None)
    assert len(calls) == 1
    for near, far in pairs:
        assert near.fileno() == -1
        far.close()


def test_a_fault_costs_one_packet_and_is_logged_once(
    loop: RelayLoop, pair: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(pair[0])

    def fail_on_demand(now: float) -> None:
        reader(now)
        if reader.got[-1][0] == b"fail":
            reader.event.clear()
            raise ValueError("demanded")

    with caplog.at_level(logging.ERROR, "rtp.loop"):
        loop.post(lambda: loop.add(pair[0], fail_on_demand))
        for _ in range(20):
            pair[1].send(b"fail")
        pair[1].send(b"good")
        assert reader.event.wait(TIMEOUT_S)
    while reader.got[-1][0] != b"good":
        ask(loop, lambda: None)
    assert len(reader.got) == 21
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_any_thread_may_add_a_socket_and_change_its_handler(
    loop: RelayLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    first, second = Reader(pair[0]), Reader(pair[0])
    loop.add(pair[0], first)
    pair[1].send(b"one")
    assert first.event.wait(TIMEOUT_S)
    loop.serve(pair[0], second)
    pair[1].send(b"two")
    assert second.event.wait(TIMEOUT_S)
    assert ([data for data, _ in first.got], [data for data, _ in second.got]) == ([b"one"], [b"two"])


def test_a_socket_that_was_left_waits_until_it_is_added_again(
    loop: RelayLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    first, second = Reader(pair[0]), Reader(pair[0])
    ask(loop, lambda: loop.add(pair[0], first))
    ask(loop, lambda: loop.leave(pair[0]))
    pair[1].send(b"kept")
    ask(loop, lambda: None)
    ask(loop, lambda: None)
    assert first.got == []
    ask(loop, lambda: loop.add(pair[0], second))
    assert second.event.wait(TIMEOUT_S)
    assert second.got == [(b"kept", 5.0)]


def test_only_the_loops_thread_may_give_a_socket_up(loop: RelayLoop, pair: tuple[socket.socket, socket.socket]) -> None:
    ask(loop, lambda: None)
    with pytest.raises(AssertionError):
        loop.leave(pair[0])
    with pytest.raises(AssertionError):
        loop.remove(pair[0])


def test_commands_posted_after_the_end_run_at_close() -> None:
    loop = RelayLoop(lambda: 5.0)
    loop.stop()
    loop.run()
    ran: list[bool] = []
    loop.post(lambda: ran.append(True))
    loop.close()
    assert ran == [True]


# ------------------------------------------------------------------------------------------------ timers


def test_a_timer_calls_with_the_time_of_the_round_in_the_order_of_the_times(loop: RelayLoop) -> None:
    called: list[tuple[str, float]] = []
    done = threading.Event()

    def set_all() -> None:
        loop.call_at(5.0, lambda now: called.append(("second", now)))
        loop.call_at(4.0, lambda now: called.append(("first", now)))
        loop.call_at(5.0, lambda now: (called.append(("third", now)), done.set()))
        loop.call_at(6.0, lambda now: called.append(("not yet", now)))

    loop.post(set_all)
    assert done.wait(TIMEOUT_S)
    assert called == [("first", 5.0), ("second", 5.0), ("third", 5.0)]


def test_a_timer_that_fails_costs_no_other(loop: RelayLoop, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail(_now: float) -> None:
        raise ValueError("on purpose")

    loop.post(lambda: (loop.call_at(4.0, fail), loop.call_at(4.5, lambda _now: done.set())))
    assert done.wait(TIMEOUT_S)
    assert "the media relay drops a packet or a command" in caplog.text


class ScriptedPoller:
    """Notes how long the loop would have waited; time passes by as much."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float | None] = []
        self.on_poll: Callable[[], None] = lambda: None

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        self.waits.append(timeout)
        self.now += timeout or 0.0
        self.on_poll()
        return []

    def register(self, fd: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def close(self) -> None: ...


def test_the_loop_sleeps_until_the_next_timer_and_without_one_for_ever() -> None:
    poller = ScriptedPoller()
    loop = RelayLoop(lambda: poller.now, poller)
    called: list[float] = []

    def again(now: float) -> None:
        called.append(now)
        if len(called) < 3:
            loop.call_at(now + 0.25, again)

    def stop_when_idle() -> None:
        if poller.waits[-1] is None:
            loop.stop()

    loop.call_at(100.5, again)
    poller.on_poll = stop_when_idle
    loop.run()
    loop.close()
    assert poller.waits == [
        0.5,
        0.25,
        0.25,
        None,
    ]
    assert called == [100.5, 100.75, 101.0]


def test_a_timer_set_by_a_timer_waits_for_the_next_round() -> None:
    poller = ScriptedPoller()
    loop = RelayLoop(lambda: poller.now, poller)
    rounds: list[int] = []

    def late(_now: float) -> None:
        rounds.append(len(poller.waits))
        if len(rounds) == 2:
            loop.stop()
        loop.call_at(50.0, late)

    loop.call_at(50.0, late)
    loop.run()
    loop.close()
    assert rounds == [1, 2, 3]
