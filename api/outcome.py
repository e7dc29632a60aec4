"""The answer of a route that changes something. Waitress workers."""

from __future__ import annotations

from flask import Response, g, jsonify


def outcome(message: str, **members: int | str) -> Response:
    """`{"message": ..., ...}`; the message also goes into the audit line of this request."""
    g.outcome = message
    return jsonify({"message": message, **members})


def counted(count: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
