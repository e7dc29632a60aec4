"""What each rule of the doctor says, and what not: each case gives exactly what stands beside it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from config import Config
from explain.doctor.diagnosis import RULES, diagnose, gravest
from explain.doctor.facts import Advertised, Disk, DoctorFacts, Running, listed
from explain.finding import Severity
from explain.rule import rule_name
from explain.texts import en
from explain.words import LANGUAGES, said
from sip.snapshots import ContactSnapshot, PresenceSnapshot
from tests.explain.test_call_rules import public_in_via_private_in_contact
from tests.explain.test_phone_rules import FAILURE, FIGHT, NOW_AT, PHONE, ban

MIB = 1024 * 1024
HERE = Advertised("", "192.168.1.2")
HERE_REFUSED = replace(FAILURE, address="192.168.1.9")
WELL = Running(sip_port=5060, tls_port=0, api_port=3000, started_at=NOW_AT - 100)

ALWAYS = ["advertised-addresses.route info", "ports-to-open.range info"]
"""What the doctor tells of every server."""


def presence(number: str, *contacts: ContactSnapshot, left: tuple = ()) -> PresenceSnapshot:
    return PresenceSnapshot(number, contacts, NOW_AT - 9000, left)


def facts(config: Config | None = None, **changes: Any) -> DoctorFacts:
    """Of a server that is well; what belongs to `Running` goes there."""
    running_changes = {name: changes.pop(name) for name in list(changes) if name in Running.__slots__}
    running = changes.pop("running", replace(WELL, **running_changes))
    usual = {"advertised": (HERE,), "protected": 3, "call_capacity": 100}
    return DoctorFacts(config or Config(), NOW_AT, NOW_AT - 1000, running=running, **{**usual, **changes})


def with_config(**settings: Any) -> DoctorFacts:
    return facts(replace(Config(), **settings))


def hidden(address: str = "203.0.113.5", **changes: Any) -> ContactSnapshot:
    return replace(PHONE, address=address, behind_nat=True, **changes)


CASES: dict[str, tuple[DoctorFacts, list[str]]] = {
    "well": (facts(), []),
    "well, with a phone": (facts(presences=[presence("100", PHONE)]), []),
    "not running": (facts(running=None), ["server-not-running problem"]),
    "port taken": (
        facts(running=None, ports_taken=["SIP_PORT=5060"]),
        ["server-not-running problem", "port-taken problem"],
    ),
    "loopback only": (facts(advertised=(Advertised("", "127.0.0.1"),)), ["only-this-machine warning"]),
    "private address for a public phone": (
        facts(
            presences=[presence("100", replace(PHONE, address="8.8.4.4"))],
            advertised=(Advertised("8.8.4.4", "192.168.1.2"), HERE),
        ),
        ["private-address-for-public-phones problem"],
    ),
    "public address for a public phone": (
        facts(
            presences=[presence("100", replace(PHONE, address="8.8.4.4"))],
            advertised=(Advertised("8.8.4.4", "9.9.9.9"), HERE),
        ),
        [],
    ),
    "few ports": (facts(call_capacity=3), ["few-media-ports warning"]),
    "no ports": (facts(call_capacity=0), ["few-media-ports problem"]),
    "behind NAT": (facts(presences=[presence("100", hidden())]), []),
    "behind NAT without keep-alive": (
        facts(replace(Config(), nat_keepalive=0.0), presences=[presence("100", hidden())]),
        ["nat-without-keepalive warning"],
    ),
    "two behind one NAT": (
        facts(presences=[presence("100", hidden()), presence("101", hidden())]),
        ["phones-behind-one-nat info"],
    ),
    "behind two NATs": (
        facts(presences=[presence("100", hidden()), presence("101", hidden("203.0.113.6"))]),
        [],
    ),
    "silent": (
        facts(presences=[presence("100", hidden(silent_since_at=NOW_AT - 9))]),
        ["phones-not-answering warning"],
    ),
    "rewritten": (facts(calls=[public_in_via_private_in_contact().trace]), ["sip-alg.via warning"]),
    "hindered": (facts(problems=["the disk is full"]), ["server-hindered problem"]),
    "clock behind": (replace(facts(), program_at=NOW_AT + 90_000), ["clock-wrong.behind problem"]),
    "clock a little behind": (replace(facts(), program_at=NOW_AT + 3_000), []),
    "clock set": (facts(clock_set=(NOW_AT - 60, -3600.0)), ["clock-wrong.set warning"]),
    "clock set long ago": (facts(clock_set=(NOW_AT - 100_000, -3600.0)), []),
    "little space": (facts(disks=[Disk("data", 100 * MIB, 9000 * MIB)]), ["disk-space.little warning"]),
    "no space": (facts(disks=[Disk("data", 5 * MIB, 9000 * MIB)]), ["disk-space.full problem"]),
    "much space": (facts(disks=[Disk("data", 5000 * MIB, 9000 * MIB)]), []),
    "weak passwords": (facts(weak_numbers=["100", "101"]), ["weak-passwords problem"]),
    "passwords that can't be read": (facts(protected=None), ["few-passwords.unreadable warning"]),
    "no passwords at home": (facts(protected=0), ["few-passwords.private info"]),
    "no passwords, and a public address": (
        facts(protected=0, advertised=(Advertised("", "9.9.9.9"),)),
        ["few-passwords.private info"],
    ),
    "no passwords, and the Internet is trusted": (
        facts(replace(Config(), trusted_networks=(ip_network("0.0.0.0/0"),)), protected=0),
        ["few-passwords.public problem"],
    ),
    "API open": (with_config(api_host="0.0.0.0"), ["api-exposed.plain warning"]),
    "API open to the Internet": (with_config(api_host="9.9.9.9"), ["api-exposed.plain problem"]),
    "API encrypted": (with_config(api_host="0.0.0.0", api_tls=True), []),
    "development": (with_config(app_env="development"), ["api-exposed.development warning"]),
    "refused": (facts(failures=[HERE_REFUSED]), ["refused-phones warning"]),
    "refused elsewhere": (facts(failures=[FAILURE]), []),
    "refused long ago": (facts(failures=[replace(HERE_REFUSED, last_at=NOW_AT - 9000)]), []),
    "refused and settled": (
        facts(failures=[HERE_REFUSED], presences=[presence("100", replace(PHONE, address="192.168.1.9"))]),
        [],
    ),
    "banned": (facts(bans=[ban()], presences=[presence("100", PHONE)]), ["phone-banned problem"]),
    "rewritten when it registered": (
        facts(
            presences=[presence("100", replace(PHONE, address="8.8.4.4", via_host="8.8.4.4", uri="sip:100@10.0.0.5"))]
        ),
        ["phone-behind-sip-alg warning"],
    ),
    "fight": (facts(presences=[presence("100", PHONE, left=FIGHT)]), ["two-phones-one-number problem"]),
    "two phones": (
        facts(presences=[presence("100", PHONE, replace(PHONE, address="192.0.2.20"))]),
        ["several-phones-one-number info"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_server_is_judged_by_what_is_known_of_it(name: str) -> None:
    case, expected = CASES[name]
    findings = diagnose(case)
    for finding in findings:
        assert finding.evidence, finding.rule
        for language in LANGUAGES:
            assert "{" not in " ".join(said(finding, language))
    found = [f"{finding.key} {finding.severity.name.lower()}" for finding in findings]
    assert sorted(found) == sorted([*expected, *ALWAYS])
    assert [finding.severity for finding in findings] == sorted((each.severity for each in findings), reverse=True)


def test_what_is_always_told_depends_on_the_settings() -> None:
    found = [each.key for each in diagnose(with_config(server_address="9.9.9.9", rtp_port=0))]
    assert found == ["ports-to-open.any", "advertised-addresses.setting"]
    found = [each.key for each in diagnose(with_config(sip_host="192.168.1.2"))]
    assert found == ["advertised-addresses.listening", "ports-to-open.range"]


def test_the_verdict_is_that_of_the_gravest() -> None:
    assert gravest(()) is Severity.INFO
    assert gravest(diagnose(facts(call_capacity=3))) is Severity.WARNING
    assert gravest(diagnose(facts(running=None))) is Severity.PROBLEM


def test_every_rule_and_every_text_of_the_doctor_is_met_above() -> None:
    met = {key.split()[0] for _, expected in CASES.values() for key in (*expected, *ALWAYS)}
    met |= {"advertised-addresses.setting", "advertised-addresses.listening", "ports-to-open.any"}
    names = {rule_name(rule) for rule in RULES}
    shared = {"sip-alg.length", "sip-alg.record-route", "sip-alg.target"}  # met with the calls
    assert {key for key in en.TEXTS if key.partition(".")[0] in names} - shared == met


def test_long_lists_are_cut() -> None:
    assert listed([str(number) for number in range(100, 112)]).endswith("107 (+4)")


def test_settings_name_no_path_that_is_not_theirs() -> None:
    case = facts(replace(Config(), data_dir=Path("/var/lib/x")), protected=None)
    (finding,) = [each for each in diagnose(case) if each.rule == "few-passwords"]
    assert finding.evidence[0].value == "/var/lib/x"
