"""What is said in Russian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts import ru_doctor, ru_phones, ru_setup, ru_talk
from explain.texts.form import Text

UNITS: Final = ("с", "мин", "ч", "дн.")

TEXTS: Final[Mapping[str, Text]] = {**ru_setup.TEXTS, **ru_talk.TEXTS, **ru_phones.TEXTS, **ru_doctor.TEXTS}

SUMMARIES: Final[Mapping[str, str]] = {
    "trying": "{caller} звонит на {callee}; телефон там ещё не зазвонил.",
    "ringing": "{caller} звонит на {callee}, телефон там звонит.",
    "failed": "{caller} звонил на {callee}, но разговор не состоялся: {cause}.",
    "failed-unexplained": "{caller} звонил на {callee}, но разговор не состоялся (ответ {status}); почему, из записи "
    "не видно.",
    "troubled": "{caller} и {callee} были соединены {talk}, но {cause}.",
    "troubled-now": "{caller} и {callee} соединены уже {talk}, но {cause}.",
    "good": "{caller} и {callee} были соединены {talk}, звонок завершился как положено.",
    "good-sound": "{caller} и {callee} говорили {talk}, всё было в порядке: в худшем из направлений потеряно {lost} % "
    "звука, джиттер {jitter} мс, MOS {mos}.",
    "talking": "{caller} и {callee} соединены уже {talk}.",
    "good-sound-now": "{caller} и {callee} говорят уже {talk}, всё в порядке: в худшем из направлений потеряно {lost} "
    "% звука, джиттер {jitter} мс, MOS {mos}.",
    "short-sound": "{caller} и {callee} говорили {talk}; этого мало, чтобы судить о звуке: в худшем из направлений "
    "потеряно {lost} %, джиттер {jitter} мс, MOS {mos}.",
    "short-sound-now": "{caller} и {callee} говорят уже {talk}; этого мало, чтобы судить о звуке: в худшем из "
    "направлений потеряно {lost} %, джиттер {jitter} мс, MOS {mos}.",
    "number-reachable": "{number} зарегистрирован, устройств: {count}, и ничто не мешает до него дозвониться.",
    "number-doubtful": "{number} зарегистрирован, но {cause}.",
    "number-unreachable": "До {number} не дозвониться: {cause}.",
}
"""The sentences on top; {cause} is that of the first finding."""
