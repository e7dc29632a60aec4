"""What the doctor says of addresses, ports, NAT and routers that rewrite.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from explain.calls.case import Case
from explain.calls.tampering import sip_alg as sip_alg_of_call
from explain.doctor.facts import DoctorFacts, listed
from explain.finding import Confidence, Evidence, EvidenceKind, Found, Severity, Span, Word, figure
from explain.networks import is_everywhere, is_loopback, is_private

_FEW_CALLS: Final = 4
"""An office whose server can carry no more calls than that will meet the bound."""
_SHOWN: Final = 8


def server_not_running(facts: DoctorFacts) -> Iterator[Found]:
    """No server answered at the API that the settings name."""
    if facts.running is None:
        evidence = Evidence(EvidenceKind.SETTING, "API_PORT", facts.config.api_port)
        yield Found(Confidence.CERTAIN, (evidence,), {"port": facts.config.api_port})


def port_taken(facts: DoctorFacts) -> Iterator[Found]:
    """The server does not run, and another program has one of its ports."""
    for name in facts.ports_taken:
        yield Found(Confidence.CERTAIN, (Evidence(EvidenceKind.SETTING, name),), {"port": name})


def advertised_addresses(facts: DoctorFacts) -> Iterator[Found]:
    """Which address of this server phones are told, and why that one (always told)."""
    if not facts.advertised:
        return
    config = facts.config
    addresses = list(dict.fromkeys(each.address for each in facts.advertised))
    evidence = tuple(
        Evidence(EvidenceKind.DESCRIPTION, each.peer or "others", each.address) for each in facts.advertised[:_SHOWN]
    )
    words: dict[str, Word] = {"addresses": ", ".join(addresses)}
    is_fixed = not is_everywhere(config.sip_host)
    variant = "setting" if config.server_address else "listening" if is_fixed else "route"
    yield Found(Confidence.CERTAIN, evidence, words, variant, Severity.INFO)


def only_this_machine(facts: DoctorFacts) -> Iterator[Found]:
    """Phones are told an address of this machine that it alone reaches (127.0.0.1)."""
    others = [each.address for each in facts.advertised if not each.peer]
    if others and all(map(is_loopback, others)):
        setting = Evidence(EvidenceKind.SETTING, "SIP_HOST", facts.config.sip_host)
        yield Found(Confidence.CERTAIN, (setting,), {"address": others[0]}, severity=Severity.WARNING)


def private_address_for_public_phones(facts: DoctorFacts) -> Iterator[Found]:
    """A phone that is registered from a public address is told a private one of this server."""
    told = {each.peer: each.address for each in facts.advertised}
    for number, contact in facts.contacts:
        address = told.get(contact.address, "")
        if address and is_private(address) and not is_private(contact.address):
            evidence = (
                Evidence(EvidenceKind.REGISTRATION, "address", contact.address, at=contact.registered_at),
                Evidence(EvidenceKind.DESCRIPTION, contact.address, address),
            )
            words: dict[str, Word] = {"number": number, "phone": contact.address, "address": address}
            yield Found(Confidence.CERTAIN, evidence, words)
            return


def ports_to_open(facts: DoctorFacts) -> Iterator[Found]:
    """Which ports a firewall must let through (always told)."""
    config, running = facts.config, facts.running
    sip = running.sip_port if running is not None else config.sip_port
    words: dict[str, Word] = {"sip": sip, "first": config.rtp_port, "last": config.rtp_port_max}
    evidence = [Evidence(EvidenceKind.SETTING, "SIP_PORT", sip)]
    tls_port = running.tls_port if running is not None else 0
    words["tls"] = f", TCP {tls_port} (TLS)" if tls_port else ""
    if config.rtp_port:
        evidence.append(Evidence(EvidenceKind.SETTING, "RTP_PORT", f"{config.rtp_port}-{config.rtp_port_max}"))
        yield Found(Confidence.CERTAIN, tuple(evidence), words, "range", Severity.INFO)
    else:
        evidence.append(Evidence(EvidenceKind.SETTING, "RTP_PORT", 0))
        yield Found(Confidence.CERTAIN, tuple(evidence), words, "any", Severity.WARNING)


def few_media_ports(facts: DoctorFacts) -> Iterator[Found]:
    """The media ports, or the files that the process may open, suffice for four calls at most."""
    if facts.call_capacity <= _FEW_CALLS:
        evidence = (
            figure("callCapacity", facts.call_capacity),
            Evidence(EvidenceKind.SETTING, "RTP_PORT", f"{facts.config.rtp_port}-{facts.config.rtp_port_max}"),
        )
        severity = Severity.WARNING if facts.call_capacity else Severity.PROBLEM
        yield Found(Confidence.CERTAIN, evidence, {"calls": facts.call_capacity}, severity=severity)


def nat_without_keepalive(facts: DoctorFacts) -> Iterator[Found]:
    """Phones are registered from behind NAT, and NAT_KEEPALIVE is off."""
    hidden = sorted({number for number, contact in facts.contacts if contact.behind_nat})
    if hidden and not facts.config.nat_keepalive:
        evidence = (Evidence(EvidenceKind.SETTING, "NAT_KEEPALIVE", 0), *_numbers(hidden))
        yield Found(Confidence.CERTAIN, evidence, {"numbers": listed(hidden)}, severity=Severity.WARNING)


def phones_behind_one_nat(facts: DoctorFacts) -> Iterator[Found]:
    """Several phones are registered from behind one public address."""
    behind: defaultdict[str, set[str]] = defaultdict(set)
    for number, contact in facts.contacts:
        if contact.behind_nat:
            behind[contact.address].add(number)
    for address, numbers in behind.items():
        if len(numbers) > 1:
            words: dict[str, Word] = {"address": address, "numbers": listed(sorted(numbers)), "count": len(numbers)}
            yield Found(Confidence.CERTAIN, _numbers(sorted(numbers)), words, severity=Severity.INFO)


def phones_not_answering(facts: DoctorFacts) -> Iterator[Found]:
    """Phones behind NAT don't answer the pings of the server."""
    silent = [(number, each) for number, each in facts.contacts if each.silent_since_at is not None]
    if silent:
        since_at = min(each.silent_since_at or 0.0 for _, each in silent)
        numbers = sorted({number for number, _ in silent})
        words: dict[str, Word] = {"numbers": listed(numbers), "ago": Span(facts.now_at - since_at)}
        yield Found(Confidence.CERTAIN, _numbers(numbers), words, severity=Severity.WARNING)


def sip_alg(facts: DoctorFacts) -> Iterator[Found]:
    """As the rule about calls, for the last calls: once for each phone."""
    told: set[tuple[str, str]] = set()
    for trace in facts.running.calls if facts.running is not None else ():
        for found in sip_alg_of_call(Case(trace, (), facts.now_at)):
            key = (found.variant, str(found.words["address"]))
            if key not in told:
                told.add(key)
                yield Found(found.confidence, found.evidence, found.words, found.variant, Severity.WARNING)


RULES: Final = (
    server_not_running,
    port_taken,
    private_address_for_public_phones,
    only_this_machine,
    few_media_ports,
    nat_without_keepalive,
    phones_not_answering,
    sip_alg,
    phones_behind_one_nat,
    advertised_addresses,
    ports_to_open,
)


def _numbers(numbers: list[str]) -> tuple[Evidence, ...]:
    return tuple(Evidence(EvidenceKind.REGISTRATION, "number", number) for number in numbers[:_SHOWN])
