"""The form of a catalogue's texts.  Pure."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """What is said of one finding; {names} are filled in.

    `cause` is a clause without capital and full stop, fit to end a sentence with; `sentence` says what happened to
    somebody who knows no telephony; `remedy` says what to do, or that nothing need be done."""

    cause: str
    sentence: str
    remedy: str
