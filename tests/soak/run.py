"""Drives the core and a started server through registrations and calls that end badly, and tells what stays behind.

python -m tests.soak.run                                    some half a minute
python -m tests.soak.run --registrations 500000 --calls 50000 --rounds 300
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import sip.calls
from tests.soak.core import Bench
from tests.soak.level import Level
from tests.soak.server import MEDIA_TIMEOUT_S, TIMERS, House
from tests.support.office import Office, office_config

WARM_UP_CALLS = 500
"""Until the caches of the parsers are full."""
WARM_UP_ROUNDS = 30
"""Until every thread, connection and file of the server has been used once, and as many events are remembered as can
be."""
LINGER_S = 0.5
"""How long messages of ended calls are still noted: so that nothing of that is left when the server is quiet."""


class Report:
    """What was done, and in plain words what was left of it."""

    def __init__(self) -> None:
        self.figures: Counter[str] = Counter()
        self.levels: list[str] = []
        self.leaks: list[str] = []

    def compare(self, what: str, before: Level, after: Level) -> None:
        self.levels += [f"{what}, before: {before}", f"{what}, after:  {after}"]
        self.leaks += (f"{what}: {leak}" for leak in after.leaks_since(before))

    def __str__(self) -> str:
        done = [f"{count:8} {name}" for name, count in sorted(self.figures.items())]
        return "\n".join([*done, *self.levels, f"{len(self.leaks)} leaks", *(f"    {leak}" for leak in self.leaks)])


def soak_core(registrations: int, calls: int, seed: int, report: Report) -> None:
    bench = Bench(random.Random(seed))
    _drive(bench, 3 * WARM_UP_CALLS, WARM_UP_CALLS)
    before = Level.now()
    _drive(bench, registrations, calls)
    report.compare("core", before, Level.now())
    report.figures += bench.figures


def _drive(bench: Bench, registrations: int, calls: int) -> None:
    deck = ["register"] * registrations + ["call"] * calls
    bench.chance.shuffle(deck)
    for card in deck:
        (bench.register if card == "register" else bench.call)()
    bench.end()


def soak_server(rounds: int, seed: int, directory: Path, report: Report) -> None:
    config = office_config(directory, media_timeout=MEDIA_TIMEOUT_S, sip_rate_limit=0)
    with patch.object(sip.calls, "LINGER_S", LINGER_S), closing(Office(config, TIMERS)) as office:
        house = House(office, random.Random(seed))
        for _ in range(WARM_UP_ROUNDS):
            house.round()
        before = house.quiet()
        for _ in range(rounds):
            house.round()
        report.compare("server", before, house.quiet())
        report.figures += house.figures
        report.leaks += (f"server: {problem}" for problem in office.server.health().problems)


def main() -> int:
    """0 when nothing stays behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--registrations", type=int, default=50_000, help="on the bench (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=5_000, help="on the bench (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="six calls each on a server (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: %(default)s)")
    options = parser.parse_args()
    report = Report()
    soak_core(options.registrations, options.calls, options.seed, report)
    with tempfile.TemporaryDirectory() as directory:
        soak_server(options.rounds, options.seed, Path(directory), report)
    print(report)
    return 1 if report.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
