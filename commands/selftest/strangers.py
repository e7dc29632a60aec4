"""What the server tells and allows somebody who has no business with it: enumeration, registering and calling without a
password, its version.  One thread, that of the command.

No phone notices: nothing asked here reaches one.  Calls and messages go to numbers without a phone, or end at the
server (Max-Forwards 0, RFC 3261 16.3); a REGISTER carries no Contact, so that it binds nothing (10.2.3).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from commands.selftest.line import Answer, Header, Line
from commands.selftest.scene import Scene
from commands.selftest.verdict import Finding, Level, shown_numbers
from sip.constants import MAX_FORWARDS
from sip.credentials import PasswordDigests
from sip.message import Request

_REFUSALS = frozenset({401, 403, 407})
_ASKED_ABOUT = ("REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE")
_STARTED = ("REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "OPTIONS")
_BANNERS = ("server", "user-agent", "organization")
_TIMED = 20
"""Requests of each kind whose answers are timed."""

_FEW_FAILURES = 5
"""With BAN_AFTER below this, not even one wrong password is tried: the ban would hit an address of this machine."""

_OF_METHOD: dict[str, tuple[Header, ...]] = {
    "SUBSCRIBE": (("Event", "presence"), ("Expires", "0")),
    "PUBLISH": (("Event", "presence"), ("Expires", "0")),
}


def check(scene: Scene, protected: frozenset[str]) -> Iterator[Finding]:
    """`protected`: numbers that have a password."""
    seen: list[Answer] = []
    if scene.outside:
        with Line(scene.server, scene.outside) as line:
            yield _enumeration(_Stranger(scene, line, seen), protected)
            yield _admission(_Stranger(scene, line, seen))
            yield _amplification(scene, line)
    else:
        yield from _unseen(scene)
    if scene.inside:
        with Line(scene.server, scene.inside) as line:
            yield _own_network(_Stranger(scene, line, seen), protected)
    if seen:
        yield _banner(seen)


class _Stranger:
    """Asks without a password, from one address, and keeps every answer in `seen`."""

    def __init__(self, scene: Scene, line: Line, seen: list[Answer]) -> None:
        self.scene = scene
        self.line = line
        self._seen = seen

    def ask(self, method: str, to: str, caller: str, max_forwards: int = MAX_FORWARDS) -> Answer | None:
        headers = list(_OF_METHOD.get(method, ()))
        if method == "REFER":
            headers.append(("Refer-To", f"<{self.line.uri(self.scene.unknown_number)}>"))
        body = b""
        if method == "MESSAGE":
            headers.append(("Content-Type", "text/plain"))
            body = b"security self-test"
        request = self.line.request(method, to, caller, headers, body, max_forwards)
        return self._note(self.line.ask(_padded(request, to)))

    def settle(self, number: str) -> None:
        """A phone that leaves a question for its password unanswered is asked another one the next time, and from then
        on the same.  Have that behind us, or it would depend on what was asked before."""
        for _ in range(2):
            self.ask("REGISTER", number, number)

    def ask_with_wrong_password(self, number: str) -> Answer | None:
        """A REGISTER whose credentials are wrong; None when it was not even asked for any."""
        request = _padded(self.line.request("REGISTER", number, number), number)
        first = self._note(self.line.ask(request))
        if first is None or first.status != 401:
            return None
        wrong = PasswordDigests(secrets.token_hex(32), secrets.token_hex(16))
        return self._note(self.line.ask_again(request, first, number, wrong))

    def _note(self, answer: Answer | None) -> Answer | None:
        if answer is not None:
            self._seen.append(answer)
        return answer


def _padded(request: Request, number: str) -> Request:
    """As long for a short number as for a long one: how much a stranger is answered may depend on how much it sent."""
    missing = (_LONGEST_NUMBER - len(number)) * request.to_bytes().count(f"sip:{number}@".encode())
    request.headers.append("Subject", "-" * (missing + 1))
    return request


_LONGEST_NUMBER = 10


# ------------------------------------------------------------------------------------------------ enumeration


class _Question(NamedTuple):
    """Asked about a number that exists and one that doesn't; `as_itself`: the sender claims to be that number."""

    method: str
    as_itself: bool

    def __str__(self) -> str:
        return self.method if self.as_itself else f"{self.method} from another number"


_QUESTIONS = [_Question(method, True) for method in _ASKED_ABOUT] + [
    _Question(method, False) for method in _ASKED_ABOUT if method != "REGISTER"
]


def _enumeration(stranger: _Stranger, protected: frozenset[str]) -> Finding:
    scene = stranger.scene
    unknown = scene.unknown_number
    told = []
    kinds = _kinds(scene, protected)
    first = min(protected, default=scene.plan.numbers()[0])
    for number in {unknown, first, *(number for _, number in kinds)}:
        stranger.settle(number)
    for kind, number in kinds:
        max_forwards = MAX_FORWARDS if kind == _FREE else 0
        for question in _QUESTIONS:
            answers = [
                stranger.ask(question.method, each, each if question.as_itself else "", max_forwards)
                for each in (number, unknown)
            ]
            told += _difference(f"{question} ({kind})", number, unknown, answers)
    if scene.config.ban_after == 0 or scene.config.ban_after > _FEW_FAILURES:
        answers = [stranger.ask_with_wrong_password(each) for each in (first, unknown)]
        told += _difference("REGISTER with a wrong password", first, unknown, answers)
    if told:
        return Finding(
            "enumeration",
            Level.DANGER,
            "Strangers can find out which numbers exist",
            f"The server answers differently for numbers that exist and for those that don't: {'; '.join(told)}. "
            "Scanners use that to collect numbers, and then guess their passwords.",
            "Restart the server, so that it runs with today's settings and version. If this stays, report it as "
            "SECURITY.md says.",
        )
    return Finding(
        "enumeration",
        Level.OK,
        "Strangers can't find out which numbers exist",
        f"{', '.join(_ASKED_ABOUT[:-1])} and {_ASKED_ABOUT[-1]} get the same status, headers and size for numbers that "
        f"exist and for {unknown}, which doesn't.{_timing(stranger)}",
    )


_REGISTERED = "a number with a phone"
_PROTECTED = "a number with a password"
_FREE = "a number without a phone"


def _kinds(scene: Scene, protected: frozenset[str]) -> list[tuple[str, str]]:
    """One number of each kind there is.  Where the API doesn't say which have a phone, any may."""
    if scene.live is None:
        return [(_REGISTERED, scene.plan.numbers()[0])]
    live = sorted(scene.live)
    free = scene.free_numbers()
    kinds = [(_REGISTERED, live[:1]), (_FREE, free[:1]), (_PROTECTED, sorted(protected)[:1])]
    return [(kind, numbers[0]) for kind, numbers in kinds if numbers]


def _difference(what: str, number: str, unknown: str, answers: list[Answer | None]) -> list[str]:
    """What tells the two apart, one text or none."""
    shapes = [_shape(answer, each) for answer, each in zip(answers, (number, unknown), strict=True)]
    if shapes[0] == shapes[1]:
        return []
    statuses = [str(answer.status) if answer is not None else "no answer" for answer in answers]
    detail = f"{statuses[0]} and {statuses[1]}" if statuses[0] != statuses[1] else f"{statuses[0]}, but not alike"
    return [f"{what}: {detail}"]


_VARIABLE = re.compile(r'(?:\b(?:tag|branch)=|\bnonce=")[^;">\s]*|(?<=\nCall-ID: )\S+')


def _shape(answer: Answer | None, number: str) -> str:
    """The whole answer without what differs each time; the length of that stays."""
    if answer is None:
        return ""
    text = answer.data.decode("utf-8", "replace").replace(f"sip:{number}@", "sip:NUMBER@")
    return _VARIABLE.sub(lambda match: "x" * len(match[0]), text)


def _timing(stranger: _Stranger) -> str:
    """How long answers take; for information, because a busy moment proves nothing."""
    numbers = (stranger.scene.plan.numbers()[0], stranger.scene.unknown_number)
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(_TIMED):
        for number, times in zip(numbers, took, strict=True):
            # No REGISTER, which would fill the diary of failed registrations.
            answer = stranger.ask("INVITE", number, number, 0)
            if answer is not None:
                times.append(answer.took_s)
    if not all(took):
        return ""
    known_ms, unknown_ms = (median(times) * 1000 for times in took)
    return f" Half of the answers took less than {known_ms:.2f} ms and {unknown_ms:.2f} ms (for information)."


# ------------------------------------------------------------------------------------------------ admission


def _admission(stranger: _Stranger) -> Finding:
    """What begins something without a password, from outside, even in the name of a number that is registered."""
    scene = stranger.scene
    caller = min(scene.live or (), default=scene.plan.numbers()[0])
    target = next(iter(scene.free_numbers()), scene.unknown_number)
    admitted, silent = [], []
    for method in _STARTED:
        answer = stranger.ask(method, caller if method == "REGISTER" else target, caller)
        if answer is None:
            silent.append(method)
        elif answer.status not in _REFUSALS:
            admitted.append(f"{method} ({answer.status})")
    if admitted:
        return Finding(
            "strangers",
            Level.DANGER,
            "Strangers get in without a password",
            f"From {scene.outside}, which the settings call foreign, the server lets through {', '.join(admitted)} in "
            f"the name of {caller}. Whoever finds the server can register as your phones and call.",
            "Restart the server, so that it runs with today's settings. Set TRUSTED_NETWORKS to your own network, and "
            "AUTH_REQUIRED=true.",
        )
    return Finding(
        "strangers",
        Level.OK,
        "Strangers can neither register nor call",
        f"From {scene.outside} the server refuses {', '.join(method for method in _STARTED if method not in silent)}, "
        "or asks for a password first."
        + (f" It did not answer {', '.join(silent)} at all." if silent else "")
        + " These tries stand in its log, and at /api/registrations/failures.",
    )


def _amplification(scene: Scene, line: Line) -> Finding:
    """A UDP request may name anybody as its sender, who then gets the answer: the larger, the more worth abusing."""
    number = scene.plan.numbers()[0]
    factors = []
    for method in _ASKED_ABOUT:
        request = line.request(method, number, number, _OF_METHOD.get(method, ()), max_forwards=0)
        answer = line.ask(request)
        if answer is not None:
            factors.append(len(answer.data) / len(request.to_bytes()))
    factor = max(factors, default=0.0)
    meaning = f"The largest answer to a stranger has {factor:.2f} times the size of the question."
    if factor > _WORTH_ABUSING:
        return Finding(
            "amplification",
            Level.WARNING,
            "The server's answers can be turned against others",
            f"{meaning} With forged senders, attackers can have it flood somebody else.",
            "Report it as SECURITY.md says, and let only the networks of your phones reach UDP in the firewall.",
        )
    return Finding("amplification", Level.OK, "The server is of no use for attacks on others", meaning)


_WORTH_ABUSING = 2.0


def _unseen(scene: Scene) -> Iterator[Finding]:
    """The server decides by the source address, and every one of this machine counts as the office's."""
    if scene.silent:
        why = f"The server does not answer {', '.join(scene.silent)}: a firewall or a ban stands between."
    else:
        why = "Every address of this machine lies in TRUSTED_NETWORKS, so nothing sent from here comes from a stranger."
    rule = (
        "By its rules a stranger is asked for a password whatever the number is"
        if scene.config.auth_required
        else "By its rules a stranger is refused while no number has a password, and asked for one after that"
    )
    advice = "Run this command on a machine outside, with the same settings and --host set to this server."
    yield Finding("enumeration", Level.SKIPPED, "Not seen: what strangers are told", f"{why} {rule}.", advice)
    yield Finding("strangers", Level.SKIPPED, "Not seen: what strangers may do", f"{why} {rule}.", advice)


def _own_network(insider: _Stranger, protected: frozenset[str]) -> Finding:
    """From a trusted address: numbers without a password, one with a phone and one without."""
    scene = insider.scene
    open_numbers = [number for number in scene.plan.numbers() if number not in protected]
    live = [number for number in open_numbers if number in (scene.live or ())]
    asked = dict.fromkeys([*live[:1], *open_numbers[-1:], scene.plan.numbers()[0]])
    answers = [insider.ask("REGISTER", number, number) for number in asked]
    if any(answer is not None and answer.status == 200 for answer in answers):
        return Finding(
            "own-network",
            Level.WARNING,
            "In your own network no password is needed",
            f"Every device in TRUSTED_NETWORKS may register as one of {shown_numbers(open_numbers or list(asked))} and "
            "call. That is meant for a network with nothing but your own devices in it, and no guests.",
            "Give each number a password (python sipserver.py passwd NUMBER --generate), then set AUTH_REQUIRED=true.",
        )
    return Finding(
        "own-network",
        Level.OK,
        "In your own network a password is needed too",
        "No number can be registered without one, wherever the phone is.",
    )


def _banner(seen: list[Answer]) -> Finding:
    headers = {(name, value) for answer in seen for name, value in answer.response.headers.items() if name in _BANNERS}
    found = sorted(f"{name}: {value}" for name, value in headers)
    if found:
        return Finding(
            "banner",
            Level.WARNING,
            "The server says what it is",
            f"Its answers carry {'; '.join(found)}, which tells attackers what to look for.",
            "Switch the banner off, or have the proxy in front of the server remove it.",
        )
    return Finding(
        "banner",
        Level.OK,
        "The server does not say what it is",
        f"None of {len(seen)} answers names a program or a version.",
    )
