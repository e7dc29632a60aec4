"""The registrar: REGISTER in the order of RFC 3261 10.3.

Pure; guarded by the core lock.  `process` checks everything before it changes anything, so a refused REGISTER leaves
the bindings as they were (10.3: all or nothing).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from config import Config
from sip.errors import ParseError
from sip.facts import Denial, Departure
from sip.flow import Flow, address_text, is_other_address
from sip.grammar import ADDR_SPEC, NAME_ADDR
from sip.headers import NameAddr
from sip.location import MAX_BINDINGS_PER_NUMBER, Binding, LocationService
from sip.message import Request, Response, make_response
from sip.numbering import NumberPlan
from sip.sips import may_bind
from sip.uri import Uri

log = logging.getLogger(__name__)

MAX_CONTACT = 1_024
"""Characters of one Contact value: every answer repeats it."""
MAX_CALL_ID = 256
MAX_USER_AGENT = 200
"""Characters kept of it."""

_ONE_HOUR_S = 3600


class Refusal(Exception):
    """A REGISTER that is answered with something else than 200."""

    def __init__(self, status: int, reason: str, *headers: tuple[str, str], denial: Denial = Denial.MALFORMED) -> None:
        super().__init__(reason)
        self.denial = denial
        self.status = status
        self.reason = reason
        self.headers = headers


class Register(NamedTuple):
    """A REGISTER and what is read in it, the flow it came by, when (monotonic and wall clock), and which password of
    the number its sender has shown ("": none)."""

    request: Request
    flow: Flow
    now: float
    now_at: float
    number: str
    call_id: str
    cseq: int
    password_mark: str


class _Contact(NamedTuple):
    """What is read in a Contact value: `parameters` are those of the header as they were written, without `expires`;
    `instance` tells devices apart (RFC 5626 4.1, 4.2: instance and reg-id), "" without; `asked_s` is its `expires`."""

    uri: Uri
    parameters: str
    instance: str
    q: float
    asked_s: int | None


class _Change(NamedTuple):
    """One Contact of the request: bind it for `expires_s`, or remove it with 0."""

    value: str
    contact: _Contact
    expires_s: int
    existing: Binding | None


_Displaced = tuple[Binding, Departure]


class Registrar:
    """Answers REGISTER from and to the location service."""

    def __init__(
        self,
        config: Config,
        plan: NumberPlan,
        location: LocationService,
        contact_fault: Callable[[Uri, Flow], str | None],
        moved: Callable[[str, Flow, Flow, float], None],
    ) -> None:
        """`contact_fault(uri, flow)`: what is wrong with a Contact, None when nothing is.  `moved(number, before, flow,
        now_at)` is told of a phone that is reached in another way than before."""
        self._contact_fault = contact_fault
        self._moved = moved
        self.config = config
        self._plan = plan
        self._location = location
        self.denial = Denial.MALFORMED
        """Why the REGISTER that was refused last was refused."""
        self._date = ""
        self._date_second = 0

    def process(self, register: Register, to_tag: str, banner: Sequence[tuple[str, str]]) -> Response:
        """The response to a validated and admitted REGISTER; bindings are changed on the way.  `banner`: headers that
        say who answers."""
        request, now = register.request, register.now
        try:
            self._register(register)
        except Refusal as refusal:
            self.denial = refusal.denial
            headers = [*refusal.headers, *banner]
            return make_response(request, refusal.status, refusal.reason, to_tag=to_tag, headers=headers)
        except ParseError as error:
            self.denial = Denial.MALFORMED
            return make_response(request, error.status, error.reason, to_tag=to_tag, headers=banner)
        headers = [
            ("Contact", f"<{each.contact.text}>{each.parameters};expires={max(1, int(each.expires - now + 0.5))}")
            for each in self._location.bindings(register.number)
        ]
        headers += (("Date", self._http_date(register.now_at)), *banner)
        return make_response(request, 200, to_tag=to_tag, headers=headers)

    def _register(self, register: Register) -> None:
        request, number = register.request, register.number
        if "require" in request.headers and (required := request.option_tags("require")):
            raise Refusal(420, "Bad Extension", ("Unsupported", ", ".join(required)))
        if number not in self._plan:
            raise Refusal(404, f"Number Not In Range {self._plan}", denial=Denial.NOT_A_NUMBER)
        if len(register.call_id) > MAX_CALL_ID:
            raise Refusal(400, "Call-ID Too Long")
        values = request.headers.values("contact")
        if len(values) > MAX_BINDINGS_PER_NUMBER:
            raise Refusal(403, "Too Many Contacts", denial=Denial.CONTACT)
        if "*" in values:
            self._remove_all(register, values)
            return
        changes: list[_Change] = []
        bindings = self._location.bindings(number)
        for value in values:
            change = self._change(register, value, bindings)
            # Of two that mean the same contact the later counts.
            if changes:
                changes = [other for other in changes if not other.contact.uri.same_as(change.contact.uri)]
            changes.append(change)
        self._apply(changes, register)

    def _apply(self, changes: list[_Change], register: Register) -> None:
        new = [change for change in changes if change.existing is None and change.expires_s > 0]
        displaced = self._displaced(register, changes, new) if new else []
        for change in changes:
            if change.expires_s > 0:
                self._bind(change, register)
        # Later, so that a device that moves is never known by no contact at all, whenever a crash may come.
        for change in changes:
            if change.expires_s == 0 and change.existing is not None:
                self._remove(change.existing, register)
                log.info("%s unregistered %s", register.number, change.existing.flow)
        for binding, why in displaced:
            if why is Departure.REPLACED:
                self._follow(binding, register)
            self._location.remove(binding, why, register.now, address_text(register.flow))

    def _remove(self, binding: Binding, register: Register) -> None:
        """A phone has asked for it, by its contact or by "*"."""
        flow = register.flow
        own = binding.flow.remote_host == flow.remote_host or _is_of_phone(binding, register)
        why = Departure.UNREGISTERED if own else Departure.REMOVED_BY_ANOTHER
        self._location.remove(binding, why, register.now, address_text(flow))

    def _remove_all(self, register: Register, values: list[str]) -> None:
        """10.3 step 6: "*" stands alone and with Expires: 0."""
        if len(values) != 1 or register.request.expires != 0:
            raise Refusal(400, "Contact * Needs Expires 0 And No Other Contact")
        bindings = self._location.bindings(register.number)
        for binding in bindings:
            self._check_order(binding, register)
        for binding in bindings:
            self._remove(binding, register)
            log.info("%s unregistered %s", register.number, binding.flow)

    def _change(self, register: Register, value: str, bindings: list[Binding]) -> _Change:
        request = register.request
        contact, known = _find(value, bindings)
        uri = contact.uri
        expires_s = self._granted(request, contact.asked_s)
        if known is not None:
            self._check_order(known, register)
        elif expires_s > 0:
            fault = self._contact_fault(uri, register.flow)
            if fault is not None:
                raise Refusal(403, f"Contact {fault}", denial=Denial.CONTACT)
        if not may_bind(request.uri, uri, register.flow):
            raise Refusal(400, "SIPS Contact Needs SIPS Request-URI And TLS", denial=Denial.CONTACT)
        return _Change(value, contact, expires_s, known)

    @staticmethod
    def _check_order(binding: Binding, register: Register) -> None:
        """10.3 step 7: within one Call-ID the CSeq must grow; anything else is an old copy."""
        if binding.server:
            # A phone may count anew for each server that it tries.
            return
        if register.cseq <= binding.cseq and binding.call_id == register.call_id:
            raise Refusal(500, "CSeq Not Higher Than In The Last REGISTER")

    def _granted(self, request: Request, asked: int | None) -> int:
        """Seconds granted: the Contact's parameter, else the Expires header, else our default (10.3 step 7)."""
        config = self.config
        if asked is None:
            asked = request.expires
        if asked is None:
            return config.expires_default
        if 0 < asked < config.expires_min and asked < _ONE_HOUR_S:
            raise Refusal(423, "Interval Too Brief", ("Min-Expires", str(config.expires_min)))
        return min(asked, config.expires_max)

    def _bind(self, change: _Change, register: Register) -> None:
        request, flow, now, now_at, number, call_id, cseq, password_mark = register
        value, contact, expires_s, known = change
        binding = known or Binding(number, contact.uri, flow, registered_at=now_at)
        if binding.flow is not flow and binding.flow != flow:
            log.info("%s moved from %s to %s", number, binding.flow, flow)
            # One with the same contact and nothing else in common may be another phone, behind another router.
            if binding.flow.remote_host == flow.remote_host or _is_same(binding, change, register):
                self._follow(binding, register)
        if not binding.is_given_as(value):
            binding.given = "" if value == f"<{contact.uri.text}>" else value
            binding.contact, binding.parameters, binding.instance, binding.q, binding.asked_s = contact
        via_host = request.via.host
        binding.behind_nat = is_other_address(via_host, flow) or is_other_address(contact.uri.host, flow)
        binding.via_host = via_host
        binding.flow = flow
        if binding.call_id != call_id:
            # An equal one stays where it is: what thousands of phones replaced would lie scattered in memory.
            binding.call_id = call_id
        binding.cseq = cseq
        binding.expires = now + expires_s
        user_agent = request.user_agent[:MAX_USER_AGENT]
        if binding.user_agent != user_agent:
            binding.user_agent = sys.intern(user_agent)
        binding.last_seen_at = now_at
        binding.password_mark = password_mark
        binding.connection_lost_at = None
        binding.server = ""
        if known is None:
            self._location.add(binding, now)
            log.info("%s registered from %s for %d s (%s)", number, flow, expires_s, binding.user_agent)
        else:
            self._location.refreshed(binding, now)

    def _follow(self, binding: Binding, register: Register) -> None:
        """The phone of that binding is reached by the flow of this request from now on, in its calls, too: its old
        connection may be long dead without anybody having noticed.  What goes by way of another server stays there."""
        if not binding.server:
            self._moved(binding.number, binding.flow, register.flow, register.now_at)

    def _displaced(self, register: Register, changes: list[_Change], new: list[_Change]) -> list[_Displaced]:
        """A device that shows up with another contact replaces its old binding: phones learn their public address by
        `rport` and register again at once.  The oldest makes room when the number is full."""
        displaced: list[_Displaced] = []
        number = register.number
        bound = [change for change in changes if change.expires_s > 0]
        named = {id(change.existing) for change in changes}
        others = [binding for binding in self._location.bindings(number) if id(binding) not in named]
        for binding in [other for other in others if any(_is_same(other, change, register) for change in new)]:
            others.remove(binding)
            displaced.append((binding, Departure.REPLACED))
            log.info("%s: new contact of the same device replaces %s", number, binding.flow)
        while others and len(others) + len(bound) > MAX_BINDINGS_PER_NUMBER:
            oldest = min(others, key=lambda binding: binding.last_seen_at)
            others.remove(oldest)
            displaced.append((oldest, Departure.CROWDED_OUT))
            log.warning("%s has too many devices; %s was dropped", number, oldest.flow)
        return displaced

    def _http_date(self, now_at: float) -> str:
        """Date header value (20.17); made once a second."""
        if int(now_at) != self._date_second:
            from email.utils import formatdate  # takes a while to load, and nobody registers before the server is up

            self._date_second = int(now_at)
            self._date = formatdate(now_at, usegmt=True)
        return self._date


_QUOTED_OR_EXPIRES = re.compile(r'("(?:[^"\\]|\\.)*")|;[ \t]*expires[ \t]*(?:=[^;]*)?(?=;|$)', re.IGNORECASE)


def _find(value: str, bindings: list[Binding]) -> tuple[_Contact, Binding | None]:
    """What a Contact says, and the binding that it means.  A phone sends the same one each time, which is read once.
    Raises `ParseError`, or `Refusal` for what no phone can be reached at."""
    for binding in bindings:
        if binding.is_given_as(value):
            known = _Contact(binding.contact, binding.parameters, binding.instance, binding.q, binding.asked_s)
            return known, binding
    contact = _read_contact(value)
    for binding in bindings:
        if binding.contact.same_as(contact.uri):
            return contact, binding
    return contact, None


def _read_contact(value: str) -> _Contact:
    if len(value) > MAX_CONTACT:
        raise Refusal(400, "Contact Too Long", denial=Denial.CONTACT)
    address = NameAddr.parse(value)
    uri, parameters = address.uri, address.parameters
    if not uri.is_sip:
        raise Refusal(400, "Contact Must Be A SIP URI", denial=Denial.CONTACT)
    instance = parameters.get("+sip.instance") or ""
    if instance:
        instance = f"{instance};{parameters.get('reg-id') or ''}"
    return _Contact(uri, _parameters_text(value), instance, address.q, address.expires)


def _parameters_text(value: str) -> str:
    """Header parameters of a Contact as they were written, without `expires`: echoed in the 200 to the letter."""
    if ";" not in value:
        return ""
    match = NAME_ADDR.fullmatch(value) or ADDR_SPEC.fullmatch(value)
    text = match["parameters"].strip() if match is not None else ""
    return _QUOTED_OR_EXPIRES.sub(r"\1", text) if "expires" in text.lower() else text


def _is_same(binding: Binding, change: _Change, register: Register) -> bool:
    """By instance where both have one, else by the Call-ID of the registration or the connection it came by."""
    instance = change.contact.instance
    if instance and binding.instance:
        return instance == binding.instance
    return _is_of_phone(binding, register)


def _is_of_phone(binding: Binding, register: Register) -> bool:
    """By the Call-ID of its registration, which a phone keeps (10.2), or by its connection."""
    return binding.call_id == register.call_id or 0 != binding.flow.connection == register.flow.connection
