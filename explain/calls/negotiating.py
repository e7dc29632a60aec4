"""Why two phones found no way to talk to each other: codecs, encryption, descriptions that can't be read (RFC 3264).
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from explain.calls.case import CALLEE, CALLER, Case, Spot, audio_of, described, is_at
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Word
from sip.facts import Fact
from sip.sdp import MediaDescription, SessionDescription

_REFUSALS: Final = frozenset({415, 488, 606})
_NO_SPEECH: Final = frozenset({"telephone-event", "cn", "red"})
_WARNED_OF_TRANSPORT: Final = re.compile(r"\b302\b|srtp|savp|encrypt|secure", re.IGNORECASE)
"""A Warning that says so: code 302, "incompatible transport protocol" (RFC 3261 20.43), or in words."""
_WARNED_OF_FORMAT: Final = re.compile(r"\b305\b|codec|media format", re.IGNORECASE)


def srtp_one_sided(case: Case) -> Iterator[Found]:
    """A phone refused the call (415, 488, 606), and one side has encrypted sound only (RTP/SAVP) while the other has
    the plain kind only: by the offer and, if there is one, the description or the Warning in the refusal."""
    for spot in _refusals(case):
        offered = audio_of(_offer(case))
        if not offered:
            return
        own = _counter(case, spot)
        warned = bool(_WARNED_OF_TRANSPORT.search(str(spot.entry.details.get("warning", ""))))
        evidence = (case.cite(spot), _protocols(CALLER, offered), *([_protocols(CALLEE, own)] if own else []))
        words: dict[str, Word] = {"caller": case.caller, "callee": case.callee}
        if all(map(_is_secure, offered)):
            if not any(map(_is_secure, own)):
                yield Found(Confidence.CERTAIN if own or warned else Confidence.LIKELY, evidence, words, "caller")
        elif not any(_is_secure(media) or media.secure for media in offered) and (
            all(map(_is_secure, own)) if own else warned
        ):
            yield Found(Confidence.CERTAIN if own else Confidence.LIKELY, evidence, words, "callee")
        return


def no_common_codec(case: Case) -> Iterator[Found]:
    """A phone refused the call (415, 488, 606): the codecs that the caller offered, beside those that the phone has
    named in its answer, if it named any."""
    for spot in _refusals(case):
        offered, own = audio_of(_offer(case)), _counter(case, spot)
        theirs, ours = _codecs(offered), _codecs(own)
        if not theirs or set(map(str.lower, theirs)) & set(map(str.lower, ours)):
            return
        is_about_security = all(map(_is_secure, offered)) or any(map(_is_secure, own))
        warning = str(spot.entry.details.get("warning", ""))
        if ours or _WARNED_OF_FORMAT.search(warning):
            confidence = Confidence.CERTAIN
        else:
            confidence = Confidence.POSSIBLE if is_about_security or warning else Confidence.LIKELY
        evidence = [case.cite(spot), _list(CALLER, theirs)]
        words: dict[str, Word] = {"caller": case.caller, "callee": case.callee, "offered": ", ".join(theirs)}
        if ours:
            evidence.append(_list(CALLEE, ours))
            words["own"] = ", ".join(ours)
        yield Found(confidence, tuple(evidence), words, "lists" if ours else "offer")
        return


def sound_refused(case: Case) -> Iterator[Found]:
    """The call was answered, and the answer refused the stream of sound that was offered (port 0)."""
    for stream in case.trace.streams if case.answered else ():
        if stream.kind == "audio" and stream.callee is not None and stream.caller is not None:
            if stream.callee.rejected and not stream.caller.rejected:
                evidence = (
                    _list(CALLER, stream.caller.codecs),
                    Evidence(EvidenceKind.DESCRIPTION, "callee", "port 0"),
                )
                words: dict[str, Word] = {"callee": case.callee, "offered": ", ".join(_speech(stream.caller.codecs))}
                yield Found(Confidence.CERTAIN, evidence, words)
            return


def broken_description(case: Case) -> Iterator[Found]:
    """The session description of a phone could not be used: malformed, or of a kind that can't be relayed."""
    spot = case.first(Fact.BAD_OFFER, Fact.BAD_ANSWER)
    if spot is not None:
        is_offer = spot.entry.fact == Fact.BAD_OFFER
        number = case.caller if is_offer else case.callee
        words: dict[str, Word] = {"number": number, "fault": str(spot.entry.details["fault"])}
        yield Found(Confidence.CERTAIN, (case.cite(spot),), words)


RULES: Final = (srtp_one_sided, no_common_codec, sound_refused, broken_description)


def _refusals(case: Case) -> list[Spot]:
    found = case.facts(Fact.DECLINED) if case.failed else []
    return [spot for spot in found if spot.entry.details["status"] in _REFUSALS]


def _offer(case: Case) -> SessionDescription | None:
    invites = case.requests("INVITE", received=True)
    return described(invites[0].message) if invites else None


def _counter(case: Case, spot: Spot) -> list[MediaDescription]:
    """What the phone that refused has described in its answer (RFC 3261 21.4.26)."""
    for heard in case.responses("INVITE", 400, 700, received=True):
        if is_at(heard.entry, str(spot.entry.details["address"])):
            return audio_of(described(heard.message))
    return []


def _is_secure(media: MediaDescription) -> bool:
    return "SAVP" in media.protocol.upper()


def _codecs(streams: Sequence[MediaDescription]) -> list[str]:
    return _speech(codec for media in streams for codec in media.codecs)


def _speech(codecs: Sequence[str] | Iterator[str]) -> list[str]:
    """Without what carries no speech; each once."""
    return [codec for codec in dict.fromkeys(codecs) if codec.lower() not in _NO_SPEECH]


def _list(side: int, codecs: Sequence[str]) -> Evidence:
    return Evidence(EvidenceKind.DESCRIPTION, ("caller", "callee")[side], ", ".join(_speech(codecs)))


def _protocols(side: int, streams: Sequence[MediaDescription]) -> Evidence:
    protocols = dict.fromkeys(media.protocol for media in streams)
    return Evidence(EvidenceKind.DESCRIPTION, ("caller", "callee")[side], ", ".join(protocols))
