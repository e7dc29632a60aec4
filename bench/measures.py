"""What is measured: each function starts a server, loads it, and returns its figures under the names of `report.ROWS`.

Figures of processor time are microseconds of the server's whole process tree per operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import history
import system_calls
from load import Load, LoadError, Result, measure_timed_part
from servers import BARE, KAMAILIO, KAMAILIO_RTPENGINE, SIPSERVER, Candidate, RunningServer

Figures = dict[str, float]

# Numbers of the phones, apart from one another so that loads can run side by side.
REGISTERING = 1000
CALLING, CALLED = 4000, 5000
STANDING_CALLER, STANDING_CALLEE = 6000, 8000

_BINDING_LIFE_S = 34.0
"""How long after a request its transaction has gone (RFC 3261 17.2.2, timer J: 64 * T1), so that bindings remain."""

_REST_S = 1.0

_AFTER_S = 3.0
"""How long what was put off is waited for and counted, as long as a trace waits to be written and somewhat more."""

_SETTLE_S = 0.5
"""From the start of a server, or the end of what comes before a timed part, until what that has left to do is done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.  `None` leaves a measure out."""

    name: str
    rounds: int
    seconds: float
    warm_s: float = 1.0
    phones: int = 500
    phones_at_once: int = 32
    register_rate: float = 300
    call_pairs: int = 400
    calls_at_once: int = 24
    call_rate: float = 50
    hold_ms: int = 20
    media_calls: tuple[int, ...] = (10, 50, 100, 200, 400)
    search_calls: tuple[int, ...] = ()
    calls_beside_storm: int = 100
    bindings: tuple[int, int] = (10, 2000)
    standing_calls: tuple[int, int] = (1, 400)
    history: int = 1_000_000
    binding_life_s: float | None = _BINDING_LIFE_S
    rest_s: float = _REST_S
    settle_s: float = _SETTLE_S
    after_s: float = _AFTER_S
    counted_operations: int = 500
    peers: bool = True
    one_server: bool = False
    """Whether one serves all measures, which spares its starts and makes the figures depend on one another."""


FULL = Plan("full", rounds=3, seconds=4, search_calls=(600, 800, 1000, 1200, 1500))
QUICK = Plan("quick", rounds=1, seconds=1.5, warm_s=0.5, media_calls=(10, 100), history=100_000, binding_life_s=None)
SMOKE = Plan(
    "smoke",
    rounds=1,
    seconds=0.2,
    warm_s=0.1,
    phones=20,
    phones_at_once=4,
    register_rate=50,
    call_pairs=10,
    calls_at_once=2,
    call_rate=20,
    media_calls=(2,),
    calls_beside_storm=2,
    bindings=(2, 20),
    standing_calls=(1, 3),
    history=50,
    binding_life_s=0.0,
    rest_s=0.0,
    settle_s=0.0,
    after_s=0.0,
    counted_operations=20,
    peers=False,
    one_server=True,
)


@dataclass(slots=True)
class Bench:
    """What every measure needs, and what it leaves behind."""

    plan: Plan
    generator: Path
    start: Callable[..., AbstractContextManager[RunningServer]]
    raw: list[Result] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def load(self, server: RunningServer, mode: str, **options: float) -> Load:
        return Load(self.generator, server.port, mode, **options)

    def keep(self, candidate: Candidate, result: Result, may_fail: bool = False) -> Result:
        """Remember a result; what failed in it is a problem unless failing is what the measure looks for."""
        self.raw.append({"server": candidate.name, **result})
        if result["failed"] and not may_fail:
            reasons = ", ".join(f"{count} x {status}" for status, count in result["failures_by_status"].items())
            total = result["ok"] + result["failed"]
            problem = f"{candidate.name}: {result['failed']} of {total} failed ({reasons}): {result['arguments']}"
            self.problems.append(problem)
        return result

    def await_begin(self, load: Load) -> None:
        load.await_begin()
        time.sleep(self.plan.settle_s)

    def timed(self, candidate: Candidate, server: RunningServer, mode: str, **options: float) -> Result:
        options = {"seconds": self.plan.seconds, **options}
        with self.load(server, mode, **options) as load:
            self.await_begin(load)
            after_s = self.plan.after_s if mode == "calls" else 0.0
            return self.keep(candidate, measure_timed_part(load, server, after_s))

    # The loads, as the plan wants them.

    def registrations(self, *, storm: bool = False) -> dict[str, float]:
        plan = self.plan
        options: dict[str, float] = {"phones": plan.phones, "first_caller": REGISTERING}
        return options | ({"rate": plan.register_rate} if storm else {"at_once": plan.phones_at_once})

    def calls(self, *, storm: bool = False) -> dict[str, float]:
        plan = self.plan
        options: dict[str, float] = {"phones": plan.call_pairs, "first_caller": CALLING, "first_callee": CALLED}
        steady = {"rate": plan.call_rate, "hold_ms": plan.hold_ms}
        return options | (steady if storm else {"at_once": plan.calls_at_once})

    def media(self, calls: int) -> dict[str, float]:
        plan = self.plan
        return {
            "phones": calls,
            "first_caller": STANDING_CALLER,
            "first_callee": STANDING_CALLEE,
            "seconds": plan.seconds,
            "warm": plan.warm_s,
        }


def _us_each(result: Result, count: str = "ok") -> float:
    """Microseconds of processor time for each operation that succeeded, or packet that arrived."""
    return 1e6 * float(result["server_cpu_s"]) / max(1, result[count])


def register(bench: Bench, candidate: Candidate) -> Figures:
    with bench.start(candidate) as server:
        flat_out = bench.timed(candidate, server, "register", **bench.registrations())
        steady = bench.timed(candidate, server, "register", **bench.registrations(storm=True))
    return {
        "register.flat": _us_each(flat_out),
        "register.flat.rate": flat_out["ok"] / flat_out["seconds"],
        "register.steady": _us_each(steady),
        "register.steady.p99": steady["registered_ms"]["p99"],
        "start": server.start_ms,
    }


def calls(bench: Bench, candidate: Candidate) -> Figures:
    with bench.start(candidate) as server:
        flat_out = bench.timed(candidate, server, "calls", **bench.calls())
    with bench.start(candidate) as server:
        steady = bench.timed(candidate, server, "calls", **bench.calls(storm=True))
    return {
        "calls.flat": _us_each(flat_out),
        "calls.flat.rate": flat_out["ok"] / flat_out["seconds"],
        "calls.steady": _us_each(steady),
        "calls.steady.p99": steady["answered_ms"]["p99"],
        "start": server.start_ms,
    }


# ---------------------------------------------------------------------------------------------------------- media


def _media_figures(prefix: str, result: Result) -> Figures:
    delay = result["delay_ms"] or {"p50": 0.0, "p99": 0.0, "p999": 0.0}
    return {
        f"{prefix}.p50": delay["p50"],
        f"{prefix}.p99": delay["p99"],
        f"{prefix}.p999": delay["p999"],
        f"{prefix}.loss": _loss(result),
    }


def _loss(result: Result) -> float:
    """Percent of the packets sent."""
    sent, received = int(result["sent"]), int(result["received"])
    return 100 * (1 - received / sent) if sent else 100.0


def _is_good(result: Result) -> bool:
    """Packets of calls that a server had no ports for go from phone to phone, and prove nothing."""
    is_whole = _loss(result) < 0.1 and result["delay_ms"] is not None
    return is_whole and result["anchored"] and result["delay_ms"]["p99"] < 10


def media(bench: Bench, candidate: Candidate) -> Figures:
    """Every step of the plan, then further ones until one is too much."""
    plan, figures, most_calls = bench.plan, Figures(), 0
    with bench.start(candidate) as server:
        for count in (*plan.media_calls, *plan.search_calls):
            searching = count in plan.search_calls
            try:
                with bench.load(server, "media", **bench.media(count)) as load:
                    bench.await_begin(load)
                    result = bench.keep(candidate, measure_timed_part(load, server), may_fail=searching)
            except LoadError:
                if searching:
                    break
                raise
            if result["misrouted"]:
                bench.problems.append(f"{candidate.name}: {result['misrouted']} packets went to the wrong party")
            if _is_good(result):
                most_calls = count
            elif searching:
                break
            if not result["anchored"]:
                bench.problems.append(f"{candidate.name}: media do not pass the server: {result['arguments']}")
            if not searching:
                figures |= _media_figures(f"media.{count}", result)
                figures[f"media.{count}.cpu"] = _us_each(result, "received")
    if plan.search_calls:
        figures["media.most"] = most_calls
    return figures | {"start": server.start_ms}


def machine(bench: Bench, candidate: Candidate) -> Figures:
    """The same packets from phone to phone, past the server: what the machine and the generator add."""
    figures = Figures()
    with bench.start(candidate) as server:
        for count in bench.plan.media_calls:
            result = bench.timed(candidate, server, "media", **bench.media(count), direct=1)
            figures |= _media_figures(f"machine.{count}", result)
    return figures


def beside(bench: Bench, candidate: Candidate) -> Figures:
    """Media while other phones register or call."""
    return _media_beside(bench, candidate, "register", bench.registrations(storm=True)) | _media_beside(
        bench, candidate, "calls", bench.calls(storm=True)
    )


def _media_beside(bench: Bench, candidate: Candidate, mode: str, options: dict[str, float]) -> Figures:
    plan = bench.plan
    # The storm begins before the packets are counted and ends after.
    storm_s = plan.seconds + 0.5
    with (
        bench.start(candidate) as server,
        bench.load(server, "media", **bench.media(plan.calls_beside_storm)) as packets,
        bench.load(server, mode, **options, seconds=storm_s) as storm,
    ):
        packets.await_begin()
        bench.await_begin(storm)
        storm.go_on()
        result = bench.keep(candidate, measure_timed_part(packets, server))
        storm.await_end()
        storm.go_on()
        stormed = bench.keep(candidate, storm.result())
    wanted = stormed["started"] + stormed["not_started"]
    return _media_figures(f"beside.{mode}", result) | {
        f"beside.{mode}.ok": 100 * stormed["ok"] / max(1, wanted),
        "start": server.start_ms,
    }


# --------------------------------------------------------------------------------------------------------- memory


def memory(bench: Bench, candidate: Candidate) -> Figures:
    """MiB at rest, and with a small office at work."""
    plan = bench.plan
    with bench.start(candidate) as server:
        time.sleep(plan.rest_s)
        figures = {"memory.rest": server.memory_mib(), "start": server.start_ms}
        bench.timed(candidate, server, "register", phones=1, limit=0)
        with bench.load(server, "media", **bench.media(5)) as load:
            load.await_begin()
            load.go_on()
            load.await_end()
            figures["memory.office"] = server.memory_mib()
            load.go_on()
            bench.keep(candidate, load.result())
    return figures


def memory_of_bindings(bench: Bench, candidate: Candidate) -> Figures:
    """MiB for each 1,000 bindings, without the transactions that made them.

    As many registrations come first and are forgotten, so that room for the transactions is there already.
    """
    few, many = bench.plan.bindings
    life_s = bench.plan.binding_life_s
    if life_s is None:
        return {}
    with bench.start(candidate) as server:
        bench.timed(candidate, server, "register", phones=few, at_once=few, limit=many)
        time.sleep(life_s)
        before = server.memory_mib()
        bench.timed(candidate, server, "register", first_caller=REGISTERING + few, phones=many, limit=0)
        time.sleep(life_s)
        return {"memory.bindings": 1000 * (server.memory_mib() - before) / many, "start": server.start_ms}


# --------------------------------------------------------------------------------------------------------- growth


def growth(bench: Bench, candidate: Candidate) -> Figures:
    """Processor time per operation with few and with many bindings and calls, each on a server of its own."""
    plan, figures = bench.plan, Figures()
    for name, bindings in zip(("few", "many"), plan.bindings, strict=True):
        with bench.start(candidate) as server:
            at_once = min(8, bindings)
            result = bench.timed(candidate, server, "register", phones=bindings, at_once=at_once)
            figures[f"growth.bindings.{name}"] = _us_each(result)
    for name, standing in zip(("few", "many"), plan.standing_calls, strict=True):
        with (
            bench.start(candidate) as server,
            bench.load(server, "media", **bench.media(standing), packet_rate=0) as calls,
        ):
            calls.await_begin()
            figures[f"growth.calls.{name}"] = _us_each(bench.timed(candidate, server, "calls", **bench.calls()))
    return figures


def growth_of_history(bench: Bench, candidate: Candidate) -> Figures:
    """Processor time per call, writing the history included, with none and with a long one."""
    figures = Figures()
    for name, calls in (("few", 0), ("many", bench.plan.history)):
        prepared = [partial(history.make, calls=calls)] if calls else []
        with bench.start(candidate, *prepared) as server:
            figures[f"growth.history.{name}"] = _us_each(bench.timed(candidate, server, "calls", **bench.calls()))
    return figures


# --------------------------------------------------------------------------------------------------- system calls


def count_system_calls(bench: Bench, candidate: Candidate) -> Figures:
    """System calls of the server per operation, which a busy machine does not change; needs strace."""
    if not system_calls.can_count():
        return {}
    operations = bench.plan.counted_operations
    one_by_one: dict[str, float] = {"limit": operations, "at_once": 1, "seconds": 60}
    figures = Figures()
    for key, mode, options, count in (
        ("syscalls.register", "register", bench.registrations() | one_by_one, "ok"),
        ("syscalls.call", "calls", bench.calls() | one_by_one, "ok"),
        ("syscalls.packet", "media", bench.media(2), "received"),
    ):
        with bench.start(candidate) as server, bench.load(server, mode, **options) as load:
            load.await_begin()
            with system_calls.counted(server.leaders) as counter:
                load.go_on()
                load.await_end()
            load.go_on()
            result = bench.keep(candidate, load.result())
            figures[key] = counter.total / max(1, result[count])
    return figures


@dataclass(frozen=True, slots=True)
class Measure:
    """`servers` are the names of those it makes sense for."""

    run: Callable[[Bench, Candidate], Figures]
    servers: frozenset[str]
    every_round: bool = True


_OWN = frozenset({SIPSERVER})
_SIGNALLING = _OWN | {KAMAILIO, BARE}
_MEDIA = _OWN | {KAMAILIO_RTPENGINE}

MEASURES: dict[str, Measure] = {
    "register": Measure(register, _SIGNALLING),
    "calls": Measure(calls, _SIGNALLING | _MEDIA),
    "media": Measure(media, _MEDIA),
    "machine": Measure(machine, _OWN),
    "beside": Measure(beside, _MEDIA),
    "memory": Measure(memory, _OWN),
    "bindings": Measure(memory_of_bindings, _OWN, every_round=False),
    "growth": Measure(growth, _OWN),
    "history": Measure(growth_of_history, _OWN),
    "syscalls": Measure(count_system_calls, _OWN, every_round=False),
}
"""By the name that `--only` takes."""
