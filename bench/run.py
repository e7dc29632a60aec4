"""Measure sipserver beside its peers, in turn, on this machine.  Linux and gcc; kamailio and rtpengine if installed.

    python bench/run.py                    everything, three rounds, about a quarter of an hour
    python bench/run.py --quick            one short round, about a minute
    python bench/run.py --smoke            does every measure work?  Seconds, no peers; the figures mean nothing
    python bench/run.py --write            also put the table into docs/performance.md

Run it with the interpreter of the project's environment.  docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import json
import os
import platform
import shutil
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import load
import report
import servers
from measures import FULL, MEASURES, QUICK, SMOKE, Bench, Figures, Measure, Plan

OUT = Path(__file__).resolve().parent / "out"
DOCUMENT = servers.ROOT / "docs" / "performance.md"

Rounds = dict[str, dict[str, list[float]]]
"""By server, then by figure, one value a round."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="plan", const=QUICK, help="one short round")
    size.add_argument("--smoke", action="store_const", dest="plan", const=SMOKE, help="only see that everything works")
    parser.add_argument("--only", default=",".join(MEASURES), metavar="NAMES", help="some of: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="directory for results.json and the generator")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=DOCUMENT,
        metavar="FILE",
        help=f"put the table into FILE ({DOCUMENT.name})",
    )
    parser.set_defaults(plan=FULL)
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    if unknown := [name for name in options.only if name not in MEASURES]:
        parser.error(f"no such measure: {', '.join(unknown)}")
    if options.write is not None and not report.has_place(options.write):
        parser.error(f"{options.write} must be a file with the lines {report.BEGIN} and {report.END}")
    if shutil.which("gcc") is None:
        parser.error("gcc is needed for the load generator")
    if importlib.util.find_spec("flask") is None:
        parser.error("run this with the interpreter of the project's environment: .venv/bin/python bench/run.py")
    return options


def measure_all(bench: Bench, only: Sequence[str], candidates: Sequence[servers.Candidate]) -> Rounds:
    """Rounds of all measures; the servers take turns, and every second round in the other order."""
    figures: Rounds = {}
    for number in range(bench.plan.rounds):
        for name in only:
            measure = MEASURES[name]
            if number and not measure.every_round:
                continue
            for candidate in candidates if number % 2 == 0 else reversed(candidates):
                if candidate.name in measure.servers:
                    print(f"round {number + 1} of {bench.plan.rounds}: {name}, {candidate.name}", file=sys.stderr)
                    for key, value in _attempt(bench, measure, candidate).items():
                        figures.setdefault(candidate.name, {}).setdefault(key, []).append(value)
    return figures


def _attempt(bench: Bench, measure: Measure, candidate: servers.Candidate) -> Figures:
    """One measure that fails is a problem to report, and no reason to lose the others."""
    try:
        return measure.run(bench, candidate)
    except (servers.ServerError, load.LoadError) as error:
        bench.problems.append(f"{candidate.name}: {error}")
        return {}


def describe(plan: Plan, candidates: Sequence[servers.Candidate], raw: Sequence[load.Result]) -> str:
    """Where, when, with what, and how quiet it was."""
    others = [result["others_cpu_share"] for result in raw if "others_cpu_share" in result]
    busy = ""
    if others:
        usual, most = 100 * statistics.median(others), 100 * max(others)
        busy = f"; other programs used {usual:.0f} % of a core, {most:.0f} % at most"
    # The kernel's word for the processor, on Linux of any kind.
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    versions = ", ".join(f"{candidate.name} {candidate.version}" for candidate in candidates)
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    kernel = platform.release().partition("-")[0]
    return (
        f"{when}: {plan.name} run, medians of {plan.rounds} round{'s' * (plan.rounds > 1)} of {plan.seconds:g} s; "
        f"{os.cpu_count()} cores ({model}), Linux {kernel}, Python {platform.python_version()}{busy}. "
        f"{versions}. In brackets after a peer's figure: sipserver's divided by it."
    )


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl+C does, so that everything started is ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 when something of sipserver's failed; what fails at a peer is only said."""
    options = _parse(arguments)
    plan: Plan = options.plan
    out: Path = options.out
    candidates = [servers.sipserver(), *(servers.installed_peers() if plan.peers else []), servers.bare()]
    with _ended_like_ctrl_c(), contextlib.ExitStack() as stack:
        start = servers.Lasting(stack).running if plan.one_server else servers.running
        bench = Bench(plan, load.build(out.resolve()), start)
        rounds = measure_all(bench, options.only, candidates)
    figures = report.medians(plan, rounds)
    about = describe(plan, candidates, bench.raw)
    results = {"about": about, "figures": figures, "rounds": rounds, "raw": bench.raw, "problems": bench.problems}
    (out / "results.json").write_text(json.dumps(results, indent=1), "utf-8")
    if figures:
        text = f"{about}\n\n{report.table(report.rows(plan), figures)}"
        print(text)
        if options.write is not None:
            report.insert(options.write, text)
    for problem in bench.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if any(problem.startswith(servers.SIPSERVER) for problem in bench.problems) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
