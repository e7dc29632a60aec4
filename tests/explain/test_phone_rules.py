"""What each rule about phones and refused registrations says, and what not: each case gives exactly what stands beside
it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from explain.finding import Finding
from explain.phones.explanation import (
    PRESENCE_RULES,
    REFUSAL_RULES,
    Reach,
    explain_failure,
    explain_number,
)
from explain.phones.standing import Standing
from explain.rule import rule_name
from explain.texts import en
from explain.words import LANGUAGES, said, summary
from sip.facts import Denial, Departure
from sip.snapshots import (
    BanSnapshot,
    ContactSnapshot,
    DepartureSnapshot,
    PresenceSnapshot,
    RegistrationFailure,
)

NOW_AT = 1_700_000_000.0
HOST, OTHER_HOST = "192.0.2.10", "192.0.2.20"

PHONE = ContactSnapshot(
    uri="sip:100@192.0.2.10",
    address=HOST,
    port=5060,
    transport="UDP",
    expires_s=600,
    expires_at=NOW_AT + 600,
    registered_at=NOW_AT - 50,
    last_seen_at=NOW_AT - 50,
    user_agent="Phone 1.0",
    behind_nat=False,
)
FAILURE = RegistrationFailure(
    "100", HOST, "UDP", "Phone 1.0", 401, "so it says", NOW_AT - 90, NOW_AT - 60, 3, Denial.WRONG
)


def standing(*contacts: ContactSnapshot, left: tuple[DepartureSnapshot, ...] = (), **more: Any) -> Standing:
    """Of 100; `left` are departures."""
    first_seen_at = more.pop("first_seen_at", NOW_AT - 9000)
    return Standing(PresenceSnapshot("100", contacts, first_seen_at, left), NOW_AT, "100-110", **more)


def ban(address: str = HOST, failures: int = 10) -> BanSnapshot:
    return BanSnapshot(address, NOW_AT - 30, None, "10 wrong passwords", failures)


def left(why: Departure, ago_s: float = 300.0, host: str = HOST, by: str = "") -> DepartureSnapshot:
    return DepartureSnapshot("100", NOW_AT - ago_s, why, f"{host}:5060", "UDP", "Phone 1.0", f"{by}:5060" if by else "")


def keys(findings: tuple[Finding, ...]) -> list[str]:
    """As they are ranked; every text can be said in every language, and each rests on something."""
    for finding in findings:
        assert finding.evidence
        for language in LANGUAGES:
            assert "{" not in " ".join(said(finding, language))
    return [f"{finding.key} {finding.confidence.name.lower()}" for finding in findings]


# ------------------------------------------------------------------------------------------------ refused

BY_DENIAL = {
    Denial.WRONG: ["wrong-password certain"],
    Denial.NOT_SHOWN: ["no-password-shown certain"],
    Denial.UNPROTECTED: ["number-without-password certain"],
    Denial.FOREIGN_NETWORK: ["foreign-network certain"],
    Denial.NOT_A_NUMBER: ["unknown-user.number certain"],
    Denial.UNKNOWN_USER: ["unknown-user.user certain"],
    Denial.OTHER_NUMBER: ["password-of-another-number certain"],
    Denial.UNREADABLE: ["unusable-credentials certain"],
    Denial.TOO_LATE: ["nonce-too-late certain"],
    Denial.CONTACT: ["contact-refused certain"],
    Denial.MALFORMED: ["malformed-registration certain"],
    # Those that no REGISTER is refused for.
    Denial.NOT_REGISTERED_THERE: [],
    Denial.NO_CALL: [],
}


@pytest.mark.parametrize("denial", list(Denial))
def test_a_refusal_is_explained_by_its_reason_alone(denial: Denial) -> None:
    assert keys(explain_failure(replace(FAILURE, denial=denial), standing())) == BY_DENIAL[denial]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"bans": [ban()]}, ["source-banned.guessing certain", "wrong-password certain"]),
        ({"bans": [ban(failures=0)]}, ["source-banned.by-hand certain", "wrong-password certain"]),
        ({"bans": [ban(OTHER_HOST)]}, ["wrong-password certain"]),
        ({"rate_limited": {HOST: NOW_AT - 5}}, ["wrong-password certain", "source-rate-limited likely"]),
        ({"rate_limited": {HOST: NOW_AT - 5000}}, ["wrong-password certain"]),
        ({"rate_limited": {OTHER_HOST: NOW_AT - 5}}, ["wrong-password certain"]),
    ],
    ids=["banned", "banned by hand", "another is banned", "flooding", "flooded long ago", "another floods"],
)
def test_what_else_keeps_a_phone_out(more: dict[str, Any], expected: list[str]) -> None:
    assert keys(explain_failure(FAILURE, standing(**more))) == expected


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        (PHONE, ["registered-since certain", "wrong-password certain"]),
        (replace(PHONE, last_seen_at=NOW_AT - 70), ["wrong-password certain"]),
        (replace(PHONE, address=OTHER_HOST), ["wrong-password certain"]),
    ],
    ids=["settled", "registered before", "registered elsewhere"],
)
def test_a_phone_that_has_registered_since(contact: ContactSnapshot, expected: list[str]) -> None:
    assert keys(explain_failure(FAILURE, standing(contact))) == expected


# ------------------------------------------------------------------------------------------------ reachable

FIGHT = tuple(
    left(why, ago_s, host, by)
    for ago_s, why, host, by in (
        (400.0, Departure.REMOVED_BY_ANOTHER, HOST, OTHER_HOST),
        (300.0, Departure.REPLACED, OTHER_HOST, HOST),
        (200.0, Departure.REMOVED_BY_ANOTHER, HOST, OTHER_HOST),
    )
)

STANDINGS: dict[str, tuple[Standing, list[str]]] = {
    "well": (standing(PHONE), []),
    "well, after it had left": (standing(PHONE, left=(left(Departure.EXPIRED),)), []),
    "never": (standing(first_seen_at=None), ["phone-not-registered.never certain"]),
    "once": (standing(), ["phone-not-registered.unknown certain"]),
    "replaced, and nothing else is known": (
        standing(left=(left(Departure.REPLACED, by=OTHER_HOST),)),
        ["phone-not-registered.unknown certain"],
    ),
    **{
        f"left: {why.value}": (
            standing(left=(left(Departure.EXPIRED, 900.0), left(why, by=OTHER_HOST))),
            [f"phone-not-registered.{why.value} certain"],
        )
        for why in Departure
        if why is not Departure.REPLACED
    },
    "banned": (standing(PHONE, bans=[ban()]), ["phone-banned certain"]),
    "another is banned": (standing(PHONE, bans=[ban(OTHER_HOST)]), []),
    "connection lost": (
        standing(replace(PHONE, transport="TCP", connection_lost_at=NOW_AT - 9)),
        ["phone-connection-lost certain"],
    ),
    "connection lost behind NAT": (
        standing(replace(PHONE, transport="TLS", behind_nat=True, connection_lost_at=NOW_AT - 9)),
        ["phone-connection-lost.behind-nat certain"],
    ),
    "silent": (standing(replace(PHONE, behind_nat=True, silent_since_at=NOW_AT - 9)), ["phone-not-answering likely"]),
    "rewritten": (
        standing(replace(PHONE, address="8.8.4.4", via_host="8.8.4.4", uri="sip:100@192.168.1.50:5060")),
        ["phone-behind-sip-alg possible"],
    ),
    "behind NAT, and honest": (
        standing(replace(PHONE, address="8.8.4.4", via_host="192.168.1.50", uri="sip:100@192.168.1.50:5060")),
        [],
    ),
    "knows its public address": (
        standing(replace(PHONE, address="8.8.4.4", via_host="8.8.4.4", uri="sip:100@8.8.4.4:5060")),
        [],
    ),
    "fight": (standing(PHONE, left=FIGHT), ["two-phones-one-number likely"]),
    "moved there and back": (standing(PHONE, left=FIGHT[:2]), []),
    "moved on and on": (
        standing(PHONE, left=tuple(replace(each, address=f"192.0.2.{30 + i}:5060") for i, each in enumerate(FIGHT))),
        [],
    ),
    "fought yesterday": (standing(PHONE, left=tuple(replace(each, at=each.at - 86_400) for each in FIGHT)), []),
    "same phone, other port": (
        standing(PHONE, left=tuple(left(Departure.REPLACED, 100.0, HOST, HOST) for _ in range(5))),
        [],
    ),
    "refused lately": (
        standing(first_seen_at=None, failures=[FAILURE]),
        ["phone-not-registered.never certain", "wrong-password certain"],
    ),
    "refused long ago": (
        standing(first_seen_at=None, failures=[replace(FAILURE, last_at=NOW_AT - 7200)]),
        ["phone-not-registered.never certain"],
    ),
    "refused and settled": (standing(PHONE, failures=[FAILURE]), []),
    "registered, and refused lately": (
        standing(replace(PHONE, last_seen_at=NOW_AT - 200), failures=[FAILURE]),
        ["wrong-password certain"],
    ),
    "registered, and somebody elsewhere tries": (
        standing(PHONE, failures=[replace(FAILURE, address=OTHER_HOST)]),
        [],
    ),
    "refused twice for one reason": (
        standing(first_seen_at=None, failures=[FAILURE, replace(FAILURE, address=OTHER_HOST)]),
        ["phone-not-registered.never certain", "wrong-password certain"],
    ),
}


@pytest.mark.parametrize("name", STANDINGS)
def test_a_number_is_explained_by_what_is_known_of_it(name: str) -> None:
    case, expected = STANDINGS[name]
    explanation = explain_number(case)
    assert keys(explanation.findings) == expected
    registered = bool(case.presence.contacts)
    doubtful = Reach.DOUBTFUL if expected else Reach.REACHABLE
    assert explanation.reach is (doubtful if registered else Reach.UNREACHABLE)
    cause = said(explanation.findings[0], "en").cause if expected else ""
    assert summary(explanation.summary, {**explanation.words, "cause": cause}, "en").endswith(".")


def test_two_phones_that_fight_are_told_of_at_a_refusal_too() -> None:
    found = keys(explain_failure(FAILURE, standing(left=FIGHT)))
    assert found == ["wrong-password certain", "two-phones-one-number likely"]


def test_every_rule_and_every_text_about_phones_is_met_above() -> None:
    names = {rule_name(rule) for rule in (*PRESENCE_RULES, *REFUSAL_RULES)}
    about_phones = {key for key in en.TEXTS if key.partition(".")[0] in names}
    met = {key.split()[0] for _, expected in STANDINGS.values() for key in expected}
    met |= {key.split()[0] for expected in BY_DENIAL.values() for key in expected}
    met |= {"source-banned.guessing", "source-banned.by-hand", "source-rate-limited", "registered-since"}
    assert about_phones == met
