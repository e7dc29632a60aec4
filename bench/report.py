"""The figures as a Markdown table, beside the peers' and the targets, and its place in the document."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from measures import Plan
from servers import BARE, KAMAILIO, KAMAILIO_RTPENGINE, SIPSERVER

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

Medians = Mapping[str, Mapping[str, float]]
"""By server, then by figure."""


@dataclass(frozen=True, slots=True)
class Target:
    """The most a figure may be, or its ratio to a peer's in the same run; `at_least` turns that round."""

    limit: float
    peer: str = ""
    at_least: bool = False

    def text(self, unit: str) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} × {self.peer}" if self.peer else f"{sign} {self.limit:g} {unit}".rstrip()

    def is_reached(self, value: float, peer_value: float | None) -> bool | None:
        """None when the peer was not measured."""
        if self.peer and not peer_value:
            return None
        measured = value / peer_value if self.peer and peer_value else value
        return measured >= self.limit if self.at_least else measured <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    key: str
    unit: str
    targets: tuple[Target, ...] = ()
    inverse: str = ""
    """What a CPU-second does of it, for figures in µs."""

    def show(self, value: float) -> str:
        text = f"{_digits(value)} {self.unit}".rstrip()
        return f"{text} ({_digits(1e6 / value)}/CPU-s)" if self.inverse and value else text


def _digits(value: float) -> str:
    """Three significant digits, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 if value >= 1 else 3)}f}".rstrip("0").rstrip(".") if value else "0"


def _media_rows(calls: int) -> list[Row]:
    cpu_target = (Target(0.8, KAMAILIO_RTPENGINE),) if calls in (100, 400) else ()
    p99_target = (Target(0.2),) if calls == 100 else ()
    return [
        Row(f"CPU per relayed packet, {calls} calls", f"media.{calls}.cpu", "µs", cpu_target, "packets"),
        Row(f"delay p50, {calls} calls", f"media.{calls}.p50", "ms"),
        Row(f"delay p99, {calls} calls", f"media.{calls}.p99", "ms", p99_target),
        Row(f"delay p99.9, {calls} calls", f"media.{calls}.p999", "ms"),
        Row(f"loss, {calls} calls", f"media.{calls}.loss", "%"),
    ]


def _machine_rows(calls: int) -> list[Row]:
    return [
        Row(f"the same packets with no server between, p50, {calls} calls", f"machine.{calls}.p50", "ms"),
        Row(f"the same packets with no server between, p99, {calls} calls", f"machine.{calls}.p99", "ms"),
    ]


def _beside_rows(mode: str, what: str) -> list[Row]:
    return [
        Row(f"delay p50 beside {what}", f"beside.{mode}.p50", "ms"),
        Row(f"delay p99 beside {what}", f"beside.{mode}.p99", "ms", (Target(0.5),)),
        Row(f"delay p99.9 beside {what}", f"beside.{mode}.p999", "ms"),
        Row(f"loss beside {what}", f"beside.{mode}.loss", "%"),
        Row(f"of the {what}, done", f"beside.{mode}.ok", "%"),
    ]


_PEER_CALLS = (Target(0.5, KAMAILIO_RTPENGINE), Target(1.0, KAMAILIO))
_FLAT = Target(1.1)
"""Within 10 %."""


def rows(plan: Plan) -> list[Row]:
    registration = (Target(1.0, KAMAILIO),)
    result = [
        Row("CPU per registration, flat out", "register.flat", "µs", registration, "registrations"),
        Row("registrations a second, flat out", "register.flat.rate", ""),
        Row(
            f"CPU per registration, {plan.register_rate:g} a second",
            "register.steady",
            "µs",
            registration,
            "registrations",
        ),
        Row(f"REGISTER to 200, p99, {plan.register_rate:g} a second", "register.steady.p99", "ms"),
        Row("CPU per call, flat out", "calls.flat", "µs", _PEER_CALLS, "calls"),
        Row("calls a second, flat out", "calls.flat.rate", ""),
        Row(f"CPU per call, {plan.call_rate:g} a second", "calls.steady", "µs", _PEER_CALLS, "calls"),
        Row(f"INVITE to 200, p99, {plan.call_rate:g} a second", "calls.steady.p99", "ms"),
    ]
    for calls in plan.media_calls:
        result += _media_rows(calls)
    most = (Target(1.0, KAMAILIO_RTPENGINE, at_least=True), Target(400, at_least=True))
    result.append(Row("most calls with loss < 0.1 % and p99 < 10 ms", "media.most", "", most))
    for calls in plan.media_calls:
        result += _machine_rows(calls)
    result += _beside_rows("register", f"{plan.register_rate:g} registrations a second")
    result += _beside_rows("calls", f"{plan.call_rate:g} calls a second")
    low, high = plan.bindings
    few, many = plan.standing_calls
    least, most_calls = plan.media_calls[0], plan.media_calls[-1]
    return [
        *result,
        Row("start to the first OPTIONS answered", "start", "ms", (Target(250),)),
        Row("memory at rest", "memory.rest", "MiB"),
        Row("memory with 11 phones and 5 calls", "memory.office", "MiB", (Target(45),)),
        Row("memory per 1,000 bindings", "memory.bindings", "MiB", (Target(1.5),)),
        Row(f"CPU per registration, {low} bindings", "growth.bindings.few", "µs"),
        Row(f"CPU per registration, {high:,} bindings", "growth.bindings.many", "µs"),
        Row("growth of it", "growth.bindings", "×", (_FLAT,)),
        Row(f"CPU per call, {few} standing call" + "s" * (few != 1), "growth.calls.few", "µs"),
        Row(f"CPU per call, {many:,} standing calls", "growth.calls.many", "µs"),
        Row("growth of it", "growth.calls", "×", (_FLAT,)),
        Row("CPU per call, no history", "growth.history.few", "µs"),
        Row(f"CPU per call, {plan.history:,} calls in the history", "growth.history.many", "µs"),
        Row("growth of it", "growth.history", "×", (_FLAT,)),
        Row(f"growth of CPU per packet, {least} to {most_calls} calls", "growth.media", "×", (_FLAT,)),
        Row("system calls per registration, futex aside", "syscalls.register", ""),
        Row("system calls per call, futex aside", "syscalls.call", ""),
        Row("system calls per relayed packet, futex aside", "syscalls.packet", ""),
    ]


def medians(plan: Plan, rounds: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, float]]:
    """The middle of the rounds, and the ratios that are made of it."""
    result = {name: {key: statistics.median(values) for key, values in all_.items()} for name, all_ in rounds.items()}
    for figures in result.values():
        for name, few, many in (
            ("growth.bindings", "growth.bindings.few", "growth.bindings.many"),
            ("growth.calls", "growth.calls.few", "growth.calls.many"),
            ("growth.history", "growth.history.few", "growth.history.many"),
            ("growth.media", f"media.{plan.media_calls[0]}.cpu", f"media.{plan.media_calls[-1]}.cpu"),
        ):
            if few in figures and many in figures and figures[few]:
                figures[name] = figures[many] / figures[few]
    return result


def table(shown: Iterable[Row], figures: Medians) -> str:
    """Markdown.  In brackets after a peer's figure: sipserver's, divided by it."""
    servers = [name for name in (SIPSERVER, KAMAILIO, KAMAILIO_RTPENGINE, BARE) if name in figures]
    lines = [_line(["", *servers, "target", "reached"]), _line(["---", *["---:"] * len(servers), "---", "---"])]
    for row in shown:
        own = figures[SIPSERVER].get(row.key)
        if own is not None:
            cells = [_cell(row, own, figures[name].get(row.key), name) for name in servers]
            lines.append(_line([row.label, *cells, *_target_cells(row, own, figures)]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Row, own: float, value: float | None, name: str) -> str:
    if value is None:
        return "–"
    return row.show(value) if name == SIPSERVER or not value else f"{row.show(value)} (× {_digits(own / value)})"


def _target_cells(row: Row, own: float, figures: Medians) -> list[str]:
    words: Callable[[bool | None], str] = {True: "yes", False: "no", None: "?"}.__getitem__
    reached = [words(target.is_reached(own, figures.get(target.peer, {}).get(row.key))) for target in row.targets]
    return ["; ".join(target.text(row.unit) for target in row.targets), "; ".join(reached)]


def _around(document: Path) -> tuple[str, str]:
    """What stands before and after the figures; raises ValueError when the document has no place for them."""
    before, begin, rest = document.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: the lines {BEGIN} and {END} are missing")
    return before, after


def has_place(document: Path) -> bool:
    try:
        _around(document)
    except (OSError, ValueError):
        return False
    return True


def insert(document: Path, text: str) -> None:
    """Put the text between the two markers of the document."""
    before, after = _around(document)
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")
