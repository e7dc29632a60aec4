"""What the doctor says of the machine, of passwords and the API, and of how numbers are used.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from explain.doctor.facts import DoctorFacts, listed
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Severity, Span, Word, figure
from explain.networks import is_everywhere, is_loopback, is_private
from explain.phones import presence
from explain.phones.standing import Standing
from sip.networks import Networks

_LITTLE_SPACE: Final = 200 * 1024 * 1024
_NO_SPACE: Final = 20 * 1024 * 1024
"""Bytes free on a disk, below which the doctor speaks, and below which the server soon can't write."""
_MIB: Final = 1024 * 1024

_CLOCK_BEHIND_S: Final = 86_400.0
"""The program was made before it ran; a day more or less is a zone that was mixed up."""
_RECENT_S: Final = 86_400.0
"""So long ago a step of the clock is still news."""
_FAILED_S: Final = 3_600.0
_SHOWN: Final = 8


def server_hindered(facts: DoctorFacts) -> Iterator[Found]:
    """The server says itself what hinders it (as in /healthz)."""
    for problem in facts.running.problems if facts.running is not None else ():
        yield Found(Confidence.CERTAIN, (Evidence(EvidenceKind.DECISION, problem),), {"problem": problem})


def disk_space(facts: DoctorFacts) -> Iterator[Found]:
    """Less than 200 MiB are free on a disk that the server writes to."""
    for disk in facts.disks:
        if disk.free < _LITTLE_SPACE:
            is_full = disk.free < _NO_SPACE
            words: dict[str, Word] = {"path": disk.path, "free": disk.free // _MIB}
            yield Found(
                Confidence.CERTAIN,
                (figure("diskFreeBytes", disk.free), figure("diskTotalBytes", disk.total)),
                words,
                "full" if is_full else "little",
                Severity.PROBLEM if is_full else Severity.WARNING,
            )


def clock_wrong(facts: DoctorFacts) -> Iterator[Found]:
    """The clock of this machine is more than a day behind the files of the program, or was set by more than ten seconds
    within a day."""
    behind_s = facts.program_at - facts.now_at
    clock = Evidence(EvidenceKind.FIGURE, "now", at=facts.now_at)
    if behind_s > _CLOCK_BEHIND_S:
        program = Evidence(EvidenceKind.FIGURE, "programTime", at=facts.program_at)
        yield Found(Confidence.CERTAIN, (clock, program), {"behind": Span(behind_s)}, "behind")
    step = facts.running.clock_set if facts.running is not None else None
    if step is not None and facts.now_at - step[0] < _RECENT_S:
        words: dict[str, Word] = {"by": Span(abs(step[1])), "ago": Span(facts.now_at - step[0])}
        evidence = (figure("clockSetBySeconds", round(step[1], 1)), clock)
        yield Found(Confidence.CERTAIN, evidence, words, "set", Severity.WARNING)


def weak_passwords(facts: DoctorFacts) -> Iterator[Found]:
    """Numbers have a password that is among those that everybody tries first, such as the number itself."""
    if facts.weak_numbers:
        evidence = tuple(Evidence(EvidenceKind.SETTING, "password", number) for number in facts.weak_numbers[:_SHOWN])
        yield Found(Confidence.CERTAIN, evidence, {"numbers": listed(facts.weak_numbers)})


def few_passwords(facts: DoctorFacts) -> Iterator[Found]:
    """The passwords can't be read from here; or no number has one, which matters where addresses of the Internet are in
    TRUSTED_NETWORKS."""
    config = facts.config
    if facts.protected is None:
        evidence = (Evidence(EvidenceKind.SETTING, "DATA_DIR", str(config.data_dir)),)
        yield Found(Confidence.CERTAIN, evidence, variant="unreadable", severity=Severity.WARNING)
    elif not facts.protected:
        foreign = [str(each) for each in config.trusted_networks if not is_private(str(each.network_address))]
        trusted = Evidence(EvidenceKind.SETTING, "TRUSTED_NETWORKS", ", ".join(foreign) or None)
        severity, variant = (Severity.PROBLEM, "public") if foreign else (Severity.INFO, "private")
        words: dict[str, Word] = {"networks": listed(foreign)}
        yield Found(Confidence.CERTAIN, (figure("numbersWithPassword", 0), trusted), words, variant, severity)


def api_exposed(facts: DoctorFacts) -> Iterator[Found]:
    """Other machines reach the API without encryption, or it has the routes that only developers need."""
    config = facts.config
    host = Evidence(EvidenceKind.SETTING, "API_HOST", config.api_host)
    if not is_loopback(config.api_host) and not config.api_tls:
        is_public = not (is_everywhere(config.api_host) or is_private(config.api_host))
        severity = Severity.PROBLEM if is_public else Severity.WARNING
        yield Found(Confidence.CERTAIN, (host,), {"host": config.api_host}, "plain", severity)
    if config.app_env == "development":
        evidence = (Evidence(EvidenceKind.SETTING, "APP_ENV", config.app_env),)
        yield Found(Confidence.CERTAIN, evidence, {}, "development", Severity.WARNING)


def refused_phones(facts: DoctorFacts) -> Iterator[Found]:
    """Registrations from TRUSTED_NETWORKS were refused within the last hour, and no phone has registered from there
    since; those from elsewhere are most often strangers who try."""
    if facts.running is None:
        return
    own, numbers = Networks(facts.config.trusted_networks), dict[str, None]()
    for failure in facts.running.failures:
        if failure.address not in own:
            continue
        standing = _standing(facts, failure.number)
        is_settled = any(
            contact.address == failure.address and contact.last_seen_at > failure.last_at
            for contact in (standing.presence.contacts if standing is not None else ())
        )
        if facts.now_at - failure.last_at <= _FAILED_S and not is_settled:
            numbers[failure.number or "?"] = None
    if numbers:
        evidence = tuple(Evidence(EvidenceKind.REGISTRATION, "number", number) for number in list(numbers)[:_SHOWN])
        words: dict[str, Word] = {"numbers": listed(list(numbers)), "count": len(numbers)}
        yield Found(Confidence.CERTAIN, evidence, words, severity=Severity.WARNING)


def phone_banned(facts: DoctorFacts) -> Iterator[Found]:
    """As the rule about numbers, for every one that is registered."""
    for standing in _standings(facts):
        yield from presence.phone_banned(standing)


def two_phones_one_number(facts: DoctorFacts) -> Iterator[Found]:
    """As the rule about numbers, for every one."""
    for standing in _standings(facts):
        yield from presence.two_phones_one_number(standing)


def phone_behind_sip_alg(facts: DoctorFacts) -> Iterator[Found]:
    """As the rule about numbers, for every one that is registered."""
    for standing in _standings(facts):
        for found in presence.phone_behind_sip_alg(standing):
            yield replace(found, severity=Severity.WARNING)


def several_phones_one_number(facts: DoctorFacts) -> Iterator[Found]:
    """Phones at several addresses are registered under one number, and get along."""
    for standing in _standings(facts):
        addresses = sorted({contact.address for contact in standing.presence.contacts})
        if len(addresses) > 1 and not any(presence.two_phones_one_number(standing)):
            evidence = tuple(Evidence(EvidenceKind.REGISTRATION, "address", address) for address in addresses[:_SHOWN])
            words: dict[str, Word] = {"number": standing.number, "addresses": listed(addresses)}
            yield Found(Confidence.CERTAIN, evidence, words, severity=Severity.INFO)


RULES: Final = (
    server_hindered,
    clock_wrong,
    disk_space,
    weak_passwords,
    few_passwords,
    api_exposed,
    phone_banned,
    two_phones_one_number,
    refused_phones,
    phone_behind_sip_alg,
    several_phones_one_number,
)


def _standings(facts: DoctorFacts) -> Iterator[Standing]:
    running = facts.running
    for each in running.presences if running is not None else ():
        assert running is not None
        yield Standing(each, facts.now_at, "", (), running.bans)


def _standing(facts: DoctorFacts, number: str) -> Standing | None:
    return next((each for each in _standings(facts) if each.number == number), None)
