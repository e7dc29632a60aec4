"""Where the copies of a request go (RFC 3261 16.5): to each phone of its number that is registered here, and to each
server that holds others.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sip.flow import Flow
from sip.journal import Details
from sip.location import Binding
from sip.neighbours import Neighbours
from sip.sips import may_reach, target_uri
from sip.uri import Uri


class Target(NamedTuple):
    """`server` is the name of the other server that is to find the phones, "" for a phone of ours; `uri` becomes the
    Request-URI, `details` are for the journal (`Fact.CALLED`)."""

    number: str
    flow: Flow
    uri: Uri
    details: Details
    server: str = ""


def targets(dialled: Uri, bindings: Iterable[Binding], neighbours: Neighbours) -> list[Target]:
    """In the order of `bindings`; those on servers that are out of service can't be reached, nor can any by a kind of
    address that it may not be called by (RFC 5630)."""
    found: list[Target] = []
    servers: set[str] = set()
    for binding in bindings:
        if not binding.server:
            if may_reach(dialled, binding.contact, binding.flow):
                uri = target_uri(dialled, binding.contact)
                found.append(Target(binding.number, binding.flow, uri, binding.details()))
            continue
        flow = neighbours.flow(binding.server)
        # Servers speak to one another without TLS.
        if flow is not None and dialled.scheme != "sips" and binding.server not in servers:
            servers.add(binding.server)
            found.append(Target(binding.number, flow, dialled, binding.details(), binding.server))
    return found
