"""What the doctor looks at beside the server itself: the machine it runs on, its disks, and how good its passwords are.

Any thread: the HTTP workers of a server that runs, or the main thread of the command.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from config import IN_MEMORY, Config
from explain.doctor.facts import Advertised, Disk, DoctorFacts, Running
from sip.common_passwords import common_among
from sip.credentials import Credentials
from sip.passwords import weakness
from startup import call_capacity, raise_descriptor_limit, reachable_address

_PROGRAM = Path(__file__).parent


class PasswordJudge:
    """Which passwords are easily guessed; what was judged once is remembered as long as nothing has changed.  `_lock`
    guards `_judged`, and is held while judging, so that two requests don't do the same work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._judged: tuple[Credentials, tuple[str, ...]] | None = None

    def weak(self, config: Config, credentials: Credentials) -> tuple[str, ...]:
        """Numbers, in order.  Takes about a millisecond a number the first time."""
        with self._lock:
            if self._judged is None or self._judged[0] is not credentials:
                self._judged = credentials, tuple(common_among(credentials))
            common = self._judged[1]
        written = (number for number, text in config.ext_passwords if weakness(number, text) is not None)
        return tuple(sorted({*common, *written}, key=int))


def examine(
    config: Config,
    credentials: Credentials | None,
    judge: PasswordJudge,
    now_at: float,
    *,
    told: Iterable[Advertised] = (),
    ports_taken: Sequence[str] = (),
    running: Running | None = None,
) -> DoctorFacts:
    """`credentials` None: they can't be read.  `told` is what phones are told that are registered, `now_at` is wall
    clock."""
    return DoctorFacts(
        config=config,
        now_at=now_at,
        program_at=max((path.stat().st_mtime for path in _PROGRAM.glob("*.py")), default=0.0),
        advertised=(*told, Advertised("", reachable_address(config))),
        disks=tuple(_disks(config)),
        weak_numbers=judge.weak(config, credentials) if credentials is not None else (),
        protected=len(credentials) if credentials is not None else None,
        call_capacity=call_capacity(config, raise_descriptor_limit()),
        ports_taken=ports_taken,
        running=running,
    )


def _disks(config: Config) -> Iterator[Disk]:
    """Of the data and of the logs, each disk once."""
    seen: set[int] = set()
    directories = [config.log_file.parent]
    if str(config.data_dir) != IN_MEMORY:
        directories.insert(0, config.data_dir)
    for directory in directories:
        # What the server has not made yet will lie where its parent does.
        known = next((each for each in (directory, *directory.absolute().parents) if each.is_dir()), None)
        if known is None or (device := known.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(known)
        yield Disk(str(directory), usage.free, usage.total)
