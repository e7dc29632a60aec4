"""What an endpoint does: which notes it plays, whether it sends back what it hears. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rtp.sounds import BEEP, BEEPS, KEYS, MELODY, PIECE_SAMPLES, RINGING, Note, duration_s, piece, rest, said

_NOTHING = (rest(1000),)


class Program:
    """`name`: "echo" (a beep, then all that comes is sent back), "quality" (beeps), "tone" (a melody, and the tone of
    each key), "ringback" (the tone of a telephone that rings elsewhere)."""

    def __init__(self, name: str) -> None:
        self._first: deque[Note] = deque((BEEP,) if name == "echo" else ())
        self._loop: Sequence[Note] = {"quality": BEEPS, "tone": MELODY, "ringback": RINGING}.get(name, ())
        self._place = 0
        self._note: Note | None = None
        self._piece = 0
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
        """The next so many samples, a multiple of `PIECE_SAMPLES`; silence where there is nothing to play."""
        return b"".join(self._next_piece(is_a_law=is_a_law) for _ in range(count // PIECE_SAMPLES))

    def _next_piece(self, *, is_a_law: bool) -> bytes:
        note = self._note or self._next_note()
        made = piece(note, self._piece, is_a_law=is_a_law)
        self._piece += 1
        is_over = self._piece >= note.pieces
        self._note, self._piece = (None, 0) if is_over else (note, self._piece)
        return made

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
            self._note, self._piece = None, 0
            self._first.clear()
            self._first.append(KEYS[key])

    def announce(self, verdicts: Sequence[str]) -> float:
        """Say these verdicts, and nothing else from now on; how many seconds that takes."""
        notes = said(verdicts)
        self._note, self._piece = None, 0
        self._first = deque(notes)
        self._loop, self._place = _NOTHING, 0
        return duration_s(notes)
