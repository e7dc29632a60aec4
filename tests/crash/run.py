"""Kills the server at random moments under load, starts it again, and tells what was lost that it had acknowledged.

    python -m tests.crash.run                       fifty kills, some two minutes
    python -m tests.crash.run --kills 500 --seed 7

What counts as acknowledged: a registration, the beginning of a call and its end, each with its 200.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.crash.load import Calls, RegistrationLedger, Registrations, Worker
from tests.support.api_client import ApiClient
from tests.support.program import FREE_PORTS, ForkedProgram, Running

LIVES_S = (0.3, 2.5)
"""How long a server is under load before it is killed, at least and at most."""

SETTINGS = FREE_PORTS | {"API_RATE_LIMIT": "0", "SIP_RATE_LIMIT": "100000", "LOG_LEVEL": "error"}

REGISTERING = {"104": "UDP", "105": "UDP", "106": "UDP", "107": "TCP", "108": "TCP"}
CALLING = (("100", "101"), ("102", "103"))


@dataclass
class Report:
    """`lost` in plain words; `figures` counts what was looked at."""

    lost: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{count:8} {name}" for name, count in self.figures.items()]
        return "\n".join([*lines, f"{len(self.lost):8} lost", *(f"         {line}" for line in self.lost)])


def run(kills: int, seed: int, directory: Path, report: Report, **settings: str) -> None:
    """Each life of the server is killed, and looked at in the next one; `settings` are added to those of the test."""
    chance = random.Random(seed)
    settings = SETTINGS | settings
    server = Running(ForkedProgram(directory, **settings))
    ports = {"SIP_PORT": str(server.sip_port), "API_PORT": str(server.api_port)}
    try:
        for number in range(1, kills + 1):
            began_at = time.time()
            workers = _live_and_die(server, chance)
            server = Running(ForkedProgram(directory, **(settings | ports)))
            before = len(report.lost)
            _look(ApiClient(server), workers, began_at, report)
            report.lost[before:] = [f"kill {number}: {line}" for line in report.lost[before:]]
            report.figures["kills"] += 1
    finally:
        server.program.kill()


def _live_and_die(server: Running, chance: random.Random) -> list[Worker]:
    """Load until a random moment."""
    killed = threading.Event()
    with ExitStack() as stack:
        workers: list[Worker] = []
        for numbers in CALLING:
            workers.append(Calls(server, numbers, chance.getrandbits(32), killed))
            stack.callback(workers[-1].give_up)
        for number, transport in REGISTERING.items():
            workers.append(Registrations(server, number, transport, chance.getrandbits(32), killed))
            stack.callback(workers[-1].give_up)
        for worker in workers:
            worker.start()
        killed.wait(chance.uniform(*LIVES_S))
        killed.set()
        server.program.process.kill()
        ended = server.program.wait()
    assert ended.errors == "", ended.errors
    faults = [worker.fault for worker in workers if worker.fault is not None]
    if faults:
        raise faults[0]
    return workers


# ------------------------------------------------------------------------------------------------ looking


def _look(api: ApiClient, workers: list[Worker], began_at: float, report: Report) -> None:
    health = api.get("/healthz")
    report.lost += [f"the server says: {problem}" for problem in health["problems"]]
    users = {user["number"]: user for user in api.get("/api/users")}
    history = _history(api, began_at)
    for worker in workers:
        if isinstance(worker, Registrations):
            _look_at_registration(worker.ledger, users.get(worker.ledger.number), report)
        elif isinstance(worker, Calls):
            _look_at_calls(worker, users, history, report)
    for number in users:
        # The phones of the next life are others.
        assert api.request("DELETE", f"/api/users/{number}").status == 200


def _look_at_registration(ledger: RegistrationLedger, user: Any, report: Report) -> None:
    found = {contact["uri"] for contact in user["contacts"]} if user is not None else set()
    allowed = [{uri} - {""} for uri in (ledger.sure, ledger.open) if uri is not None]
    if ledger.open:
        # The new contact was written, the old one not yet removed.
        allowed.append({ledger.sure, ledger.open} - {""})
    if found not in allowed:
        expected = ledger.sure or "to be signed off"
        report.lost.append(f"{ledger.number} was {expected}, and is {sorted(found) or 'not registered'}")
    report.figures["REGISTER requests acknowledged"] += ledger.acknowledged
    report.figures["REGISTER requests cut off"] += ledger.open is not None


def _look_at_calls(worker: Calls, users: dict[str, Any], history: dict[str, Any], report: Report) -> None:
    ledger, figures = worker.ledger, report.figures
    figures["calls established"] += len(ledger.established)
    figures["calls ended"] += len(ledger.ended)
    for number in worker.numbers:
        if number not in users:
            report.lost.append(f"{number} is not registered any more")
    for call_id in ledger.established:
        reason = history[call_id]["terminationReason"] if call_id in history else "missing"
        figures["calls interrupted"] += reason == "interrupted"
        if reason == "missing" or (reason != "normal" and call_id in ledger.ended):
            word = "end" if call_id in ledger.ended else "beginning"
            report.lost.append(f"call {call_id} is {reason}, though the server had acknowledged its {word}")


def _history(api: ApiClient, since_at: float) -> dict[str, Any]:
    """By Call-ID."""
    since = datetime.fromtimestamp(since_at - 1, UTC).isoformat().replace("+00:00", "Z")
    found: dict[str, Any] = {}
    while page := api.get(f"/api/calls/history?since={since}&limit=1000&offset={len(found)}"):
        found |= {call["callId"]: call for call in page}
    return found


def main() -> int:
    """0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many times (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default: %(default)s)")
    options = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        run(options.kills, options.seed, Path(directory), report)
    print(report)
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
