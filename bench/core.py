"""The signalling core alone: no sockets, no threads, no log; a relay that opens nothing; time is an argument.

    python bench/core.py                what a REGISTER, a copy of it, an OPTIONS and a call cost
    python bench/core.py --profile      and where it goes

Made for comparing the code before and after a change: the lowest of several rounds moves little on a busy machine, the
numbers of Python calls and of steps of the interpreter (opcodes) not at all.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import Config  # noqa: E402
from interpreter import Collector  # noqa: E402
from rtp.pulse import NO_PULSE, Pulse  # noqa: E402
from sip.core import SipCore  # noqa: E402
from sip.event_bus import EventBus  # noqa: E402
from sip.flow import Flow  # noqa: E402
from sip.message import parse_datagram  # noqa: E402
from sip.transaction_user import Send  # noqa: E402

SERVER, SERVER_PORT = "127.0.0.1", 5060
CALLER = Flow("UDP", SERVER, SERVER_PORT, "127.0.0.1", 5180)
CALLEE = Flow("UDP", SERVER, SERVER_PORT, "127.0.0.1", 5190)
FIRST_NUMBER, LAST_NUMBER = 1000, 2999
PHONES = 500
CALLEE_NUMBER = LAST_NUMBER

REGISTRATION_INTERVAL_S = 1 / 300
CALL_INTERVAL_S = 1 / 50
TRANSACTION_LIFE_S = 34.0
TRACED = 20
"""Operations whose opcodes are counted: that is slow, and they are all alike."""
SHOWN_FUNCTIONS = 35

SDP = b"".join(
    line + b"\r\n"
    for line in (
        b"v=0",
        b"o=- 3344 3344 IN IP4 127.0.0.1",
        b"s=call",
        b"c=IN IP4 127.0.0.1",
        b"t=0 0",
        b"m=audio 20000 RTP/AVP 0 8 101",
        b"a=rtpmap:0 PCMU/8000",
        b"a=rtpmap:8 PCMA/8000",
        b"a=rtpmap:101 telephone-event/8000",
        b"a=fmtp:101 0-15",
        b"a=ptime:20",
        b"a=sendrecv",
    )
)


Handle = Callable[[bytes, Flow], list[Send]]
TraceFunction = Callable[[FrameType, str, object], Any]  # Gives itself, which no type can say.


class CollectorClock:
    """Processor time of the garbage collector while it is entered; whoever allocated when it was due."""

    def __init__(self) -> None:
        self.total_ns = 0
        self.longest_ns = 0
        self._began_ns = 0

    def __enter__(self) -> CollectorClock:
        gc.callbacks.append(self._on_collection)
        return self

    def __exit__(self, *_exception: object) -> None:
        gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _info: dict[str, int]) -> None:
        now_ns = time.process_time_ns()
        if phase == "start":
            self._began_ns = now_ns
        else:
            self.total_ns += now_ns - self._began_ns
            self.longest_ns = max(self.longest_ns, now_ns - self._began_ns)


class IdleSession:
    """A relay session without sockets (`sip.media_relay.RelaySession`)."""

    ports = (10_000, 10_002)

    def set_peer(
        self,
        side: int,
        rtp: tuple[str, int] | None,
        rtcp: tuple[str, int] | None,
        hosts: frozenset[str],
        codecs: Mapping[int, tuple[str, int]],
    ) -> None:
        """Nobody sends anything."""

    def pulses(self) -> tuple[Pulse, Pulse]:
        return NO_PULSE, NO_PULSE

    def drain_events(self) -> Sequence[object]:
        return ()

    def quality(self) -> tuple[()]:
        return ()

    def headers(self) -> tuple[()]:
        return ()

    def figures(self) -> tuple[()]:
        return ()

    def close(self) -> tuple[()]:
        return ()


class IdleRelay:
    """Gives out sessions that relay nothing (`sip.media_relay.MediaRelay`)."""

    def open(self, call_id: str, kind: str) -> IdleSession:
        return IdleSession()


class IdleRecorder:
    """Keeps nothing (`sip.recorder.Recorder`)."""

    def put_binding(self, binding: object, registrations: int) -> int:
        return 0

    def remove_binding(self, binding_id: str, server: str = "") -> int:
        return 0

    def hurry(self) -> None:
        """Nothing is late."""

    def put_call(self, call: object) -> int:
        return 0

    def end_call(self, call: object, streams: object) -> int:
        return 0

    def put_trace(self, call: object, source: object) -> int:
        return 0


def _message(start: str, headers: Sequence[str], body: bytes = b"") -> bytes:
    typed = ["Content-Type: application/sdp"] if body else []
    lines = [start, *headers, *typed, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _copied(request: bytes, *names: str) -> list[str]:
    """The header lines of those names."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return [line for line in lines if line.partition(":")[0] in names]


class Office:
    """Phones that register and call by way of a core of their own.

    `spent_ns` is the processor time of parsing and of the core, without that of the phones; `around` may put a profiler
    around just that.
    """

    def __init__(self, around: Callable[[Handle], Handle] = lambda handle: handle) -> None:
        config = Config(server_address=SERVER, ext_min=FIRST_NUMBER, ext_max=LAST_NUMBER)
        self._core = SipCore(
            config, IdleRelay(), IdleRecorder(), EventBus(), lambda host, port: (host, port) == (SERVER, SERVER_PORT)
        )
        self._handle = around(self._receive)
        self._serial = 0
        self._last_register = b""
        self.now = 0.0
        self.spent_ns = 0
        self._register(FIRST_NUMBER, CALLER)
        self._register(CALLEE_NUMBER, CALLEE)

    def _receive(self, data: bytes, flow: Flow) -> list[Send]:
        deadline = self._core.next_deadline()
        if deadline is not None and deadline <= self.now:
            self._core.handle_timeout(self.now)
        self._core.receive(parse_datagram(data), data, flow, self.now)
        return self._core.take_effects()

    def _send(self, data: bytes, flow: Flow, answer_flow: Flow, answer_start: bytes) -> bytes:
        """What the core sends there because of this message; that it does is part of what is measured."""
        begin_ns = time.process_time_ns()
        effects = self._handle(data, flow)
        self.spent_ns += time.process_time_ns() - begin_ns
        for effect in effects:
            if effect.flow == answer_flow and effect.data.startswith(answer_start):
                return effect.data
        raise SystemExit(f"no {answer_start.decode()} came out for:\n{data.decode()}")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self._core.handle_timeout(self.now)
        self._core.take_effects()

    def _register(self, number: int, flow: Flow) -> None:
        self._serial += 1
        headers = [
            f"Via: SIP/2.0/UDP 127.0.0.1:{flow.remote_port};rport;branch=z9hG4bKr{self._serial}",
            "Max-Forwards: 70",
            f'From: "{number}" <sip:{number}@{SERVER}>;tag=r{self._serial}',
            f'To: "{number}" <sip:{number}@{SERVER}>',
            f"Call-ID: r{number}@office",
            f"CSeq: {self._serial} REGISTER",
            f"Contact: <sip:{number}@127.0.0.1:{flow.remote_port}>",
            "Expires: 3600",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER, MESSAGE, INFO",
            "User-Agent: bench",
        ]
        self._last_register = _message(f"REGISTER sip:{SERVER}:{SERVER_PORT} SIP/2.0", headers)
        self._send(self._last_register, flow, flow, b"SIP/2.0 200")

    def repeat(self) -> None:
        """The last REGISTER once more, as if its 200 had been lost."""
        self._send(self._last_register, CALLER, CALLER, b"SIP/2.0 200")

    def ping(self) -> None:
        """OPTIONS, as phones send them to see whether the server is there."""
        self.now += REGISTRATION_INTERVAL_S
        self._serial += 1
        headers = [
            f"Via: SIP/2.0/UDP 127.0.0.1:{CALLER.remote_port};rport;branch=z9hG4bKo{self._serial}",
            "Max-Forwards: 70",
            f'From: "{FIRST_NUMBER}" <sip:{FIRST_NUMBER}@{SERVER}>;tag=o{self._serial}',
            f"To: <sip:{SERVER}>",
            f"Call-ID: o{self._serial}@office",
            "CSeq: 1 OPTIONS",
            "User-Agent: bench",
        ]
        options = _message(f"OPTIONS sip:{SERVER}:{SERVER_PORT} SIP/2.0", headers)
        self._send(options, CALLER, CALLER, b"SIP/2.0 200")

    def register(self, number: int) -> None:
        self.now += REGISTRATION_INTERVAL_S
        self._register(number, CALLER)

    def register_next(self) -> None:
        """The phones in turn."""
        self.register(FIRST_NUMBER + self._serial % PHONES)

    def call(self) -> None:
        """INVITE, 180, 200, ACK, BYE, 200; the first phone calls the last."""
        self.now += CALL_INTERVAL_S
        self._serial += 1
        serial, target = self._serial, f"sip:{CALLEE_NUMBER}@127.0.0.1:{CALLEE.remote_port}"
        caller = f'From: "{FIRST_NUMBER}" <sip:{FIRST_NUMBER}@{SERVER}>;tag=c{serial}'
        call_id, callee = f"Call-ID: c{serial}@office", f"To: <sip:{CALLEE_NUMBER}@{SERVER}>"

        def request(method: str, uri: str, to: str, cseq: int, *more: str, body: bytes = b"") -> bytes:
            via = f"Via: SIP/2.0/UDP 127.0.0.1:{CALLER.remote_port};rport;branch=z9hG4bK{method}{serial}"
            headers = [via, *more, "Max-Forwards: 70", caller, to, call_id, f"CSeq: {cseq} {method}"]
            return _message(f"{method} {uri} SIP/2.0", headers, body)

        def response(status: str, to_request: bytes, *more: str, body: bytes = b"") -> bytes:
            copied = _copied(to_request, "Via", "Record-Route", "From", "Call-ID", "CSeq")
            return _message(f"SIP/2.0 {status}", [*copied, f"{callee};tag=u{serial}", *more], body)

        contact = f"Contact: <sip:{FIRST_NUMBER}@127.0.0.1:{CALLER.remote_port}>"
        uri = f"sip:{CALLEE_NUMBER}@{SERVER}:{SERVER_PORT}"
        invite = self._send(
            request("INVITE", uri, callee, 1, contact, "Supported: replaces", "User-Agent: bench", body=SDP),
            CALLER,
            CALLEE,
            b"INVITE",
        )
        self._send(response("180 Ringing", invite), CALLEE, CALLER, b"SIP/2.0 180")
        ok = self._send(response("200 OK", invite, f"Contact: <{target}>", body=SDP), CALLEE, CALLER, b"SIP/2.0 200")
        route = [line.replace("Record-Route", "Route") for line in _copied(ok, "Record-Route")]
        to = f"{callee};tag=u{serial}"
        self._send(request("ACK", target, to, 1, *route), CALLER, CALLEE, b"ACK")
        bye = self._send(request("BYE", target, to, 2, *route), CALLER, CALLEE, b"BYE")
        self._send(response("200 OK", bye), CALLEE, CALLER, b"SIP/2.0 200")


def _us_each(office: Office, operation: Callable[[], None], count: int) -> float:
    office.spent_ns = 0
    for _ in range(count):
        operation()
    return office.spent_ns / count / 1000


def _profile(kind: str, count: int) -> pstats.Stats:
    profile = cProfile.Profile()
    office = Office(around=lambda handle: partial(profile.runcall, handle))
    operation = _operation(office, kind)
    for _ in range(PHONES):
        office.register_next()
    profile.clear()
    for _ in range(count):
        operation()
    return pstats.Stats(profile)


def _opcodes(kind: str) -> float:
    """Steps of the interpreter for each operation, without those of the phones."""
    steps = 0

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    def around(handle: Handle) -> Handle:
        def traced(data: bytes, flow: Flow) -> list[Send]:
            sys.settrace(trace if is_warm else None)
            try:
                return handle(data, flow)
            finally:
                sys.settrace(None)

        return traced

    is_warm = False
    office = Office(around)
    operation = _operation(office, kind)
    for _ in range(PHONES):
        office.register_next()
    is_warm = True
    for _ in range(TRACED):
        operation()
    return steps / TRACED


def _operation(office: Office, kind: str) -> Callable[[], None]:
    operations = {"REGISTER": office.register_next, "copy": office.repeat, "OPTIONS": office.ping, "call": office.call}
    return operations[kind]


def _bytes_per_binding() -> float:
    """Of the interpreter's memory, when the transactions have gone."""
    tracemalloc.start()
    office = Office()
    # What is bounded is full, and what is loaded for the first REGISTER is there.
    for number in range(FIRST_NUMBER + PHONES, FIRST_NUMBER + 3 * PHONES):
        office.register(number)
    office.pass_time(TRANSACTION_LIFE_S)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(PHONES):
        office.register_next()
    office.pass_time(TRANSACTION_LIFE_S)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / PHONES


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/core.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--registrations", type=int, default=10_000, metavar="N", help="in a round")
    parser.add_argument("--calls", type=int, default=1_500, metavar="N", help="in a round")
    parser.add_argument("--profile", action="store_true", help="print the functions that take most of the time")
    options = parser.parse_args(arguments)
    Collector(time.monotonic())
    office = Office()
    registrations = options.registrations
    kinds = {"REGISTER": registrations, "copy": registrations, "OPTIONS": registrations, "call": options.calls}
    for kind, count in kinds.items():
        operation = _operation(office, kind)
        # Fills the tables with as many transactions as live at once.
        _us_each(office, operation, count)
        with CollectorClock() as collector:
            us = [_us_each(office, operation, count) for _ in range(options.rounds)]
        profiled = min(count, 1000)
        stats = _profile(kind, profiled)
        print(
            f"{kind}: {min(us):.1f} µs of CPU (median {statistics.median(us):.1f}), "
            f"{stats.total_calls / profiled:.1f} Python calls, {_opcodes(kind):,.0f} opcodes; garbage collection "
            f"{collector.total_ns / 1000 / options.rounds / count:.1f} µs, "
            f"longest pause {collector.longest_ns / 1e6:.1f} ms"
        )
        if options.profile:
            stats.sort_stats("tottime").print_stats(SHOWN_FUNCTIONS)
    print(f"binding: {_bytes_per_binding():,.0f} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
