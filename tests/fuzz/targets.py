"""Every parser that the network reaches, each with what must be true of it and what to begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import (
    check_bodies,
    check_core,
    check_message,
    check_packets,
    check_query,
    check_trace,
    check_values,
    seeds,
)

CORPUS = Path(__file__).parent / "corpus"
"""One folder for each target: inputs that once failed, or that reach what the seeds don't."""


@dataclass(frozen=True, slots=True)
class Target:
    """`check` takes any bytes at all and fails by an exception.  `max_length` in bytes."""

    check: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]
    max_length: int = 512


TARGETS = {
    "message": Target(check_message.check_message, seeds.messages, 4096),
    "stream": Target(check_message.check_stream, seeds.streams, 2048),
    "uri": Target(check_values.check_uri, seeds.uris, 1024),
    "via": Target(check_values.check_via, seeds.vias),
    "address": Target(check_values.check_address, seeds.addresses, 1024),
    "routes": Target(check_values.check_routes, seeds.routes, 1024),
    "cseq": Target(check_values.check_cseq, lambda: seeds.header_values("cseq"), 64),
    "parameters": Target(check_values.check_parameters, seeds.parameters),
    "number": Target(check_values.check_number, seeds.numbers, 128),
    "required": Target(check_values.check_required, seeds.required),
    "digest": Target(check_values.check_digest, seeds.digests, 1024),
    "sdp": Target(check_bodies.check_sdp, seeds.descriptions, 4096),
    "multipart": Target(check_bodies.check_multipart, seeds.multiparts, 1024),
    "rtp": Target(check_packets.check_rtp, seeds.packets, 256),
    "rtcp": Target(check_packets.check_rtcp, seeds.reports, 1024),
    "session": Target(check_packets.check_session, seeds.sessions, 4096),
    "conversation": Target(check_packets.check_conversation, seeds.sessions, 4096),
    "srtp": Target(check_packets.check_srtp, seeds.packets, 256),
    "core": Target(check_core.check_core, seeds.conversations, 8192),
    "query": Target(check_query.check_query, seeds.queries, 256),
    "trace": Target(check_trace.check_trace, seeds.messages, 4096),
}
