"""What an endpoint does: which notes it plays, whether it sends back what it hears. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtp.sounds import BEEP, BEEPS, KEYS, MELODY, Note, duration_s, rest, said, sound

_NOTHING = (rest(1000),)


class Program:
    """`name`: "echo" (a beep, then all that comes is sent back), "quality" (beeps), "tone" (a melody, and the tone of
    each key)."""

    def __init__(self, name: str) -> None:
        self._first: deque[Note] = deque((BEEP,) if name == "echo" else ())
        self._loop: Sequence[Note] = {"quality": BEEPS, "tone": MELODY}.get(name, ())
        self._place = 0
        self._note: Note | None = None
        self._position = 0
        self._sings_keys = name == "tone"
        self._is_echo = name == "echo"

    @property
    def is_playing(self) -> bool:
        """Whether `read` has anything to give."""
        return bool(self._note or self._first or self._loop)

    @property
    def echoes(self) -> bool:
        """Whether what comes is sent back now."""
        return self._is_echo and not self.is_playing

    def read(self, count: int, *, is_a_law: bool) -> bytes:
        """The next so many samples; silence where there is nothing to play."""
        pieces = []
        while count > 0:
            note = self._note or self._next_note()
            piece = sound(note, is_a_law=is_a_law)[self._position : self._position + count]
            self._note = note
            self._position += len(piece)
            if self._position >= note.samples:
                self._note, self._position = None, 0
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _next_note(self) -> Note:
        if self._first:
            return self._first.popleft()
        if not self._loop:
            return _NOTHING[0]
        note = self._loop[self._place]
        self._place = (self._place + 1) % len(self._loop)
        return note

    def press(self, key: str) -> None:
        """A key was pressed at the phone: its tone at once, then on with the melody."""
        if self._sings_keys and key in KEYS:
            self._note, self._position = None, 0
            self._first.clear()
            self._first.append(KEYS[key])

    def announce(self, verdicts: Sequence[str]) -> float:
        """Say these verdicts, and nothing else from now on; how many seconds that takes."""
        notes = said(verdicts)
        self._note, self._position = None, 0
        self._first = deque(notes)
        self._loop, self._place = _NOTHING, 0
        return duration_s(notes)
