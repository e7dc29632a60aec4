"""What is said in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts import en_doctor, en_phones, en_setup, en_talk
from explain.texts.form import Text

UNITS: Final = ("s", "min", "h", "d")

TEXTS: Final[Mapping[str, Text]] = {**en_setup.TEXTS, **en_talk.TEXTS, **en_phones.TEXTS, **en_doctor.TEXTS}

SUMMARIES: Final[Mapping[str, str]] = {
    "trying": "{caller} is calling {callee}; its phone has not rung yet.",
    "ringing": "{caller} is calling {callee}, whose phone rings.",
    "failed": "{caller} called {callee}, and no call came about: {cause}.",
    "failed-unexplained": "{caller} called {callee}, and no call came about (answer {status}); the record does not say "
    "why.",
    "troubled": "{caller} and {callee} were connected for {talk}, but {cause}.",
    "troubled-now": "{caller} and {callee} have been connected for {talk}, but {cause}.",
    "good": "{caller} and {callee} were connected for {talk}, and the call ended in good order.",
    "good-sound": "{caller} and {callee} talked for {talk}, and all was well: {lost} % of the sound lost, jitter "
    "{jitter} ms, MOS {mos} in the worse direction.",
    "talking": "{caller} and {callee} have been connected for {talk}.",
    "good-sound-now": "{caller} and {callee} have been talking for {talk}, and all is well: {lost} % of the sound "
    "lost, jitter {jitter} ms, MOS {mos} in the worse direction.",
    "short-sound": "{caller} and {callee} talked for {talk}, too short to judge the sound: {lost} % of it lost, jitter "
    "{jitter} ms, MOS {mos} in the worse direction.",
    "short-sound-now": "{caller} and {callee} have been talking for {talk}, too short to judge the sound: {lost} % of "
    "it lost, jitter {jitter} ms, MOS {mos} in the worse direction.",
    "number-reachable": "{number} is registered, with {count} device(s), and nothing speaks against reaching it.",
    "number-doubtful": "{number} is registered, but {cause}.",
    "number-unreachable": "{number} can't be reached: {cause}.",
}
"""The sentences on top; {cause} is that of the first finding."""
