"""What was wrong with the sound of an answered call: missing, one-sided, stopped, broken.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from explain.calls.case import CALLEE, CALLER, Case, Spot, audio_of, described
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Span, Word, figure
from explain.networks import host_of, is_private
from sip.facts import Fact
from sip.sdp_values import AddressKind
from sip.snapshots import MediaFigures

_HEARD_PACKETS: Final = 50
"""A second of sound, in packets of 20 ms: who has sent that much is heard, and the other one is missed."""
_BEGINNING_S: Final = 2.0
"""A phone may begin to send so late; while a call is younger, nobody is missed yet."""
_SILENT_S: Final = 10.0
"""So long a call must have lasted before silence on both sides means something."""
_RATED_PACKETS: Final = 100
_LOST_PERCENT: Final = 3.0
"""From here on speech has audible gaps, also where codecs hide some (ITU-T G.113 appendix I)."""
_JITTER_MS: Final = 30.0
"""More than phones usually even out (their buffers hold 40 to 60 ms)."""

SIDES: Final = ("caller", "callee")


def no_audio(case: Case) -> Iterator[Found]:
    """The call was answered, both phones were to send sound, and not one packet has come from either, for ten seconds
    or until the server hung up for it (MEDIA_TIMEOUT)."""
    caller, callee = case.sound
    if not case.answered or caller is None or callee is None or caller.packets or callee.packets:
        return
    spots = case.facts(Fact.NO_AUDIO, Fact.MEDIA_TIMEOUT)
    if not (spots or case.talk_s >= _SILENT_S) or not (case.is_to_send(CALLER) and case.is_to_send(CALLEE)):
        return
    rejected = caller.rejected + callee.rejected
    evidence = [*(case.cite(spot) for spot in spots[:1]), *_counted(caller), *_counted(callee)]
    words: dict[str, Word] = {
        "caller": case.caller,
        "callee": case.callee,
        "talk": Span(case.talk_s),
        "ports": f"{caller.relay_port}, {callee.relay_port}",
        "rejected": rejected,
    }
    if rejected:
        yield Found(Confidence.CERTAIN, tuple(evidence), words, "foreign")
    else:
        yield Found(Confidence.CERTAIN, tuple(evidence), words, "nothing")


def one_way_audio(case: Case) -> Iterator[Found]:
    """The call was answered, at least 50 packets of sound have come from one phone, and none from the other; of a call
    in progress, after its first two seconds."""
    if not (case.is_over or case.talk_s >= _BEGINNING_S):
        return
    for side in (CALLER, CALLEE):
        silent, heard = case.sound[side], case.sound[1 - side]
        if not case.answered or silent is None or heard is None or silent.packets or heard.packets < _HEARD_PACKETS:
            continue
        noticed = [spot for spot in case.facts(Fact.ONE_WAY_AUDIO) if spot.entry.details.get("side") == side]
        evidence = (*(case.cite(spot) for spot in noticed[-1:]), *_counted(silent), *_counted(heard))
        words: dict[str, Word] = {
            "silent": case.number_of(side),
            "heard": case.number_of(1 - side),
            "port": silent.relay_port,
            "rejected": silent.rejected,
        }
        if not case.is_to_send(side):
            said = Evidence(EvidenceKind.DESCRIPTION, SIDES[side], case.direction_of(side))
            yield Found(Confidence.CERTAIN, (*evidence, said), words, "held")
        elif silent.rejected:
            yield Found(Confidence.CERTAIN, evidence, words, "foreign")
        else:
            yield Found(Confidence.LIKELY, evidence, words, "nothing")


def private_address_in_sdp(case: Case) -> Iterator[Found]:
    """A phone that speaks to the server from a public address asked for its sound at a private one, and has sent none
    itself, by which the server could have learnt where it really is."""
    for side in (CALLER, CALLEE):
        sound = case.sound[side]
        source = host_of((case.call.from_address, case.call.to_address)[side])
        if not case.answered or sound is None or sound.packets or not source or is_private(source):
            continue
        for announced in _announced(case, side):
            if is_private(announced):
                evidence = (
                    Evidence(EvidenceKind.DESCRIPTION, SIDES[side], announced),
                    Evidence(EvidenceKind.REGISTRATION, "address", source),
                    *_counted(sound),
                )
                words: dict[str, Word] = {"number": case.number_of(side), "announced": announced, "source": source}
                yield Found(Confidence.LIKELY, evidence, words)
                break


def audio_stopped(case: Case) -> Iterator[Found]:
    """Sound had come from a phone, and then none for ten seconds while it should have (or until MEDIA_TIMEOUT), up to
    the end of the record."""
    if not case.answered:
        return
    timeout = case.first(Fact.MEDIA_TIMEOUT)
    heard = [sound for sound in case.sound if sound is not None and sound.packets]
    if timeout is not None and heard:
        last_at = max(sound.last_packet_at or 0.0 for sound in heard)
        evidence = (case.cite(timeout), *(each for sound in heard for each in _counted(sound)))
        yield Found(Confidence.CERTAIN, evidence, _stopped(case, "", last_at, timeout.entry.at), "both")
        return
    for spot in _last_stops(case):
        details = spot.entry.details
        side = details.get("side")
        since_at = float(details.get("since", spot.entry.at))
        if isinstance(side, int):
            sound = case.sound[side]
            evidence = (case.cite(spot), *(_counted(sound) if sound is not None else ()))
            number = case.number_of(side)
            yield Found(Confidence.CERTAIN, evidence, _stopped(case, number, since_at, case.until_at), "one")
        else:
            yield Found(Confidence.CERTAIN, (case.cite(spot),), _stopped(case, "", since_at, case.until_at), "both")


def packets_lost(case: Case) -> Iterator[Found]:
    """At least 3 % of the packets of a phone (of 100 or more) never came to the server, or left it and did not come to
    the other phone, as that one has reported by RTCP."""
    for side in (CALLER, CALLEE):
        sound = case.sound[side]
        expected = sound.packets + sound.lost if sound is not None else 0
        if not case.answered or sound is None or expected < _RATED_PACKETS:
            continue
        words: dict[str, Word] = {"sender": case.number_of(side), "receiver": case.number_of(1 - side)}
        lost = 100.0 * sound.lost / expected
        if lost >= _LOST_PERCENT:
            words["lost"] = round(lost, 1)
            yield Found(Confidence.CERTAIN, _quality(sound), words, "to-server")
        reported = case.reported_lost(sound)
        behind = 100.0 * (reported - sound.lost) / expected if reported is not None else 0.0
        if behind >= _LOST_PERCENT:
            words = words | {"lost": round(behind, 1)}
            evidence = (*_quality(sound), figure(f"{SIDES[side]}.remoteLost", reported))
            yield Found(Confidence.CERTAIN, evidence, words, "from-server")


def high_jitter(case: Case) -> Iterator[Found]:
    """The packets of a phone (100 or more) came to the server so unevenly that their jitter was 30 ms or more."""
    for side in (CALLER, CALLEE):
        sound = case.sound[side]
        if not case.answered or sound is None or sound.packets < _RATED_PACKETS:
            continue
        jitter_ms = max([sound.jitter_ms, *case.jitters(sound)])
        if jitter_ms >= _JITTER_MS:
            evidence = (*_quality(sound), figure(f"{SIDES[side]}.jitter", round(jitter_ms, 1)))
            words: dict[str, Word] = {
                "sender": case.number_of(side),
                "receiver": case.number_of(1 - side),
                "jitter": round(jitter_ms),
            }
            yield Found(Confidence.CERTAIN, evidence, words)


RULES: Final = (no_audio, one_way_audio, private_address_in_sdp, audio_stopped, packets_lost, high_jitter)


def _counted(sound: MediaFigures) -> tuple[Evidence, ...]:
    name = SIDES[sound.side]
    found = [figure(f"{name}.packets", sound.packets), figure(f"{name}.relayPort", sound.relay_port)]
    if sound.rejected:
        found.append(figure(f"{name}.rejected", sound.rejected))
    return tuple(found)


def _quality(sound: MediaFigures) -> tuple[Evidence, ...]:
    name = SIDES[sound.side]
    return (figure(f"{name}.packets", sound.packets), figure(f"{name}.lost", sound.lost))


def _last_stops(case: Case) -> list[Spot]:
    """Where the sound of a side stopped for good: the last such facts after which it has not begun again."""
    stopped: dict[object, Spot] = {}
    for spot in case.facts(Fact.AUDIO_STOPPED, Fact.AUDIO_STARTED):
        side = spot.entry.details.get("side")
        if spot.entry.fact == Fact.AUDIO_STOPPED:
            stopped[side] = spot
        else:
            stopped.pop(side, None)
            stopped.pop(None, None)
    return list(stopped.values())


def _stopped(case: Case, number: str, since_at: float, until_at: float) -> dict[str, Word]:
    answered_at = case.call.answered_at or since_at
    return {"number": number, "after": Span(since_at - answered_at), "silence": Span(until_at - since_at)}


def _announced(case: Case, side: int) -> Iterator[str]:
    """Addresses at which that side has asked for sound, as it wrote them."""
    offers = case.requests("INVITE", received=True)[:1]
    answers = case.responses("INVITE", 200, 300, received=True)[:1]
    for heard in (offers, answers)[side]:
        for media in audio_of(described(heard.message)):
            if media.connection is not None and media.connection.kind is AddressKind.UNICAST:
                yield media.connection.address
