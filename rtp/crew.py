"""Worker processes: who of them serves which line, their start, and what happens when one dies.

Relay thread only, but for `stop`, which comes after it. A dead worker is a saving lost, not a call: the server still
has its lines' sockets and serves them itself until another worker is up.
"""

from __future__ import annotations

import logging
import os
from functools import partial

from rtp.channel import Message, Word
from rtp.figures import MediaEvent, MediaEventKind
from rtp.line import Line
from rtp.loop import RelayLoop
from rtp.worker_process import WorkerProcess

log = logging.getLogger(__name__)

CAN_LEND = hasattr(os, "memfd_create")

ENOUGH_LINES = 8
"""More lines than these are worth a process of their own when that is left to us: a call or two at a time, as in most
offices, is nothing beside the memory that a process takes."""

LINES_EACH = 600
"""With more lines for each worker another one is started: about half of what one processor can do."""

_RETRY_S = 10.0

_TAKEN_BACK = "the process that relayed the media has died; the server relays them itself"


class Worker:
    """A worker process and the lines it has, by slot; a slot is free again when it says that it has let go of it."""

    def __init__(self, process: WorkerProcess, now: float) -> None:
        self.process = process
        self.started_at = now
        self.is_up = False
        self.lines: dict[int, Line] = {}
        self._room = 0

    def can_take(self) -> bool:
        return self._room > 0 and self.process.has_slot()

    def on_ready(self, room: int) -> None:
        """It is up and can be lent so many lines more."""
        self.is_up = True
        self._room += room

    def lend(self, line: Line) -> None:
        """OSError when the worker can't be told; the line is its nevertheless, until it is declared dead."""
        self._room -= 1
        slot = self.process.take_slot()
        self.lines[slot] = line
        sockets = line.go(self, slot)
        codecs = [dict(side.stats.codecs) for side in line.media.sides]
        self.process.channel.send(Word.LEND, slot, *codecs, sockets=sockets)

    def record(self, slot: int, number: int) -> tuple[memoryview, int]:
        return self.process.record(slot, number)

    def claim(self, slot: int) -> None:
        try:
            self.process.channel.send(Word.RELEASE, slot, wait=True)
        except OSError:  # hung or gone: its channel ends now, if it has not yet
            self.process.kill()

    def on_released(self, slot: int) -> None:
        self.process.free_slot(slot)
        self.lines.pop(slot).come_back()

    def on_death(self) -> list[Line]:
        """Take its lines back."""
        self.is_up = False
        self._room = 0
        lines, self.lines = list(self.lines.values()), {}
        for line in lines:
            line.come_back()
        return lines


class Crew:
    """Every line on offer is either lent or waiting; only those wait for which no worker is up (yet)."""

    def __init__(self, loop: RelayLoop, size: int | None) -> None:
        """`size` workers from the start, or, with None, as many as there are processors, each when it is needed."""
        self._loop = loop
        self._is_fixed = size is not None
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._size = processors if size is None else size
        if not CAN_LEND:
            self._size = 0
            if size:
                log.warning("this system has no worker processes for media; the server relays them itself")
        self._workers: list[Worker] = []
        self._waiting: dict[Line, None] = {}
        self._retry_at: float | None = None

    def start(self) -> None:
        """Start the workers that are wanted from the start."""
        self._grow()

    def stop(self) -> None:
        """End all workers, after the loop has."""
        for worker in self._workers:
            worker.process.end()
            worker.on_death()
            worker.process.close()
        self._workers.clear()

    def workers_running(self) -> int:
        """How many worker processes are up."""
        return sum(worker.is_up for worker in self._workers)

    def offer(self, line: Line) -> None:
        if not line.is_lent and self._size:
            self._waiting[line] = None
            self._grow()
            self._lend()

    def withdraw(self, line: Line) -> None:
        self._waiting.pop(line, None)

    def _lend(self) -> None:
        while self._waiting:
            able = [worker for worker in self._workers if worker.can_take()]
            if not able:
                return
            worker = min(able, key=lambda each: len(each.lines))
            line = next(iter(self._waiting))
            del self._waiting[line]
            try:
                worker.lend(line)
            except OSError:
                self._lose(worker)

    def _wanted(self) -> int:
        if self._is_fixed:
            return self._size
        lines = len(self._waiting) + sum(len(worker.lines) for worker in self._workers)
        if not self._workers and lines <= ENOUGH_LINES:
            return 0
        return min(self._size, 1 + lines // LINES_EACH)

    def _grow(self) -> None:
        """Start workers until there are as many as wanted; after a failure only when some time has passed."""
        now = self._loop.clock()
        if self._retry_at is not None and now < self._retry_at:
            return
        while len(self._workers) < self._wanted():
            try:
                process = WorkerProcess()
            except OSError as error:
                log.warning("no worker process for media: %s; the server relays them itself", error)
                self._retry_at = now + _RETRY_S
                return
            worker = Worker(process, now)
            self._workers.append(worker)
            self._loop.add(process.channel.sock, partial(self._on_message, worker))

    def _on_message(self, worker: Worker, now: float) -> None:
        try:
            received = worker.process.channel.receive()
        except BlockingIOError:
            return
        if received is None:
            self._lose(worker)
        else:
            self._heed(worker, received[0])

    def _heed(self, worker: Worker, message: Message) -> None:
        word, *values = message
        if word == Word.READY:
            worker.on_ready(values[0])
            self._lend()
        elif word == Word.RELEASED:
            worker.on_released(values[0])
        elif line := worker.lines.get(values[0]):
            _, number, at, *details = values
            if word == Word.RTCP:
                line.on_rtcp(number, details[0], at)
            elif word == Word.KEY:
                line.media.on_key(number, details[0], at)
            else:
                line.media.sides[number].on_new_ssrc(details[0], details[1], at)

    def _lose(self, worker: Worker) -> None:
        """A worker is gone: serve its lines here, and start another."""
        now = self._loop.clock()
        self._workers.remove(worker)
        self._loop.leave(worker.process.channel.sock)
        if now - worker.started_at < _RETRY_S:
            self._retry_at = now + _RETRY_S
        lines = worker.on_death()
        for line in lines:
            line.media.tell(MediaEvent(now, 0, MediaEventKind.TAKEN_BACK, _TAKEN_BACK))
            line.offer()
        worker.process.end()
        worker.process.close()
        log.error("media worker %d has died; the server relays its %d streams itself", worker.process.pid, len(lines))
        self._grow()
