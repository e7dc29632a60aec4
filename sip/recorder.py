"""What of the core's state outlives the process, and when it is written: the 200 to a REGISTER and the final response
to a BYE are promises, and so is the 2xx to an INVITE, after which the call is known whatever happens.

Pure; guarded by the core lock.  Whoever keeps the state only takes note here and writes later, on a thread of its own;
a ticket says which write a promise waits for.
"""

from __future__ import annotations

from typing import Final, Protocol

from sip.calls import CallRecorder
from sip.flow import Flow
from sip.location import Binding
from sip.snapshots import StoredBinding
from sip.uri import Uri

REFRESH_SLACK_S: Final = 60.0
"""A refresh that adds less to the kept expiry is not written; what is kept says that a binding lasts so much longer."""

CLOCK_STEP_S: Final = 10.0
"""When the wall clock is set by more than that, what is kept with times by the old one is written again."""


class Recorder(CallRecorder, Protocol):
    """Keeps registrations and calls.  Never waits and never fails; a ticket of 0: there is nothing to wait for."""

    def put_binding(self, binding: StoredBinding, registrations: int) -> int: ...

    def remove_binding(self, binding_id: str, server: str = "") -> int: ...

    def hurry(self) -> None:
        """An answer waits for what was put."""


def needs_writing(binding: Binding) -> bool:
    """It is not kept yet, or not as it is reached now, or its time is too far from what was promised to the phone."""
    return (
        not 0 <= binding.expires - binding.kept_expires < REFRESH_SLACK_S
        or not (binding.kept_flow is binding.flow or binding.kept_flow == binding.flow)
        or not (binding.kept_contact is binding.contact or binding.kept_contact == binding.contact)
        or binding.kept_instance != binding.instance
        or binding.kept_behind_nat is not binding.behind_nat
        or binding.kept_password_mark != binding.password_mark
    )


def stored_form(binding: Binding, wall_offset: float) -> StoredBinding:
    """As it is kept; from here on it counts as kept."""
    _note_kept(binding, binding.expires)
    flow = binding.flow
    return StoredBinding(
        binding_id=binding.binding_id,
        number=binding.number,
        contact=binding.contact.text,
        parameters=binding.parameters,
        instance=binding.instance,
        call_id=binding.call_id,
        cseq=binding.cseq,
        transport=flow.transport,
        local_host=flow.local_host,
        local_port=flow.local_port,
        remote_host=flow.remote_host,
        remote_port=flow.remote_port,
        connection=flow.connection,
        expires_at=binding.expires + REFRESH_SLACK_S + wall_offset,
        q=binding.q,
        user_agent=binding.user_agent,
        behind_nat=binding.behind_nat,
        registered_at=binding.registered_at,
        last_seen_at=binding.last_seen_at,
        password_mark=binding.password_mark,
    )


def restored(stored: StoredBinding, flow: Flow, wall_offset: float) -> Binding:
    """A binding of an earlier run, or one that another server holds, reached by `flow`.  Raises `ParseError` when its
    Contact makes no sense."""
    expires = stored.expires_at - wall_offset
    binding = Binding(
        number=stored.number,
        contact=Uri.parse(stored.contact),
        flow=flow,
        registered_at=stored.registered_at,
        binding_id=stored.binding_id,
        parameters=stored.parameters,
        instance=stored.instance,
        call_id=stored.call_id,
        cseq=stored.cseq,
        expires=expires,
        given=f"<{stored.contact}>{stored.parameters}" if stored.parameters else "",
        q=stored.q,
        user_agent=stored.user_agent,
        behind_nat=stored.behind_nat,
        last_seen_at=stored.last_seen_at,
        password_mark=stored.password_mark,
        server=stored.server,
    )
    if not stored.server:
        _note_kept(binding, expires - REFRESH_SLACK_S)
    return binding


def _note_kept(binding: Binding, expires: float) -> None:
    """Its time, and what a phone would be lost by."""
    binding.kept_expires = expires
    binding.kept_flow = binding.flow
    binding.kept_contact = binding.contact
    binding.kept_instance = binding.instance
    binding.kept_behind_nat = binding.behind_nat
    binding.kept_password_mark = binding.password_mark
