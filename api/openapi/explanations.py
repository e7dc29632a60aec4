"""What explanations and the doctor answer, as JSON Schema.  Pure."""

from __future__ import annotations

from api.openapi.schema import COUNT, TEXT, TIME, Json, about, many, one_of, or_null, record, ref

_LANGUAGE = one_of("en", "ru")
_FINDING: dict[str, Json] = {
    "rule": about(TEXT, "its lasting name"),
    "variant": or_null(TEXT),
    "confidence": one_of("certain", "likely", "possible"),
    "cause": about(TEXT, "a clause"),
    "sentence": about(TEXT, "what happened"),
    "remedy": about(TEXT, "what to do"),
    "evidence": many(ref("Evidence")),
}

EXPLANATIONS: dict[str, Json] = {
    "Evidence": record(
        {
            "kind": one_of("message", "decision", "figure", "description", "registration", "setting"),
            "text": about(TEXT, "a message's first line, a sentence of the record, or the name of a figure"),
            "value": {"type": ["string", "number", "null"]},
            "index": or_null(about(COUNT, "of the entry in the call's record, as in its messages and its ladder")),
            "at": or_null(TIME),
        },
        description="One thing a finding rests on.",
    ),
    "Finding": record(_FINDING),
    "DoctorFinding": record({**_FINDING, "severity": one_of("info", "warning", "problem")}),
    "Diagnosis": record(
        {
            "verdict": one_of("ok", "warning", "problem"),
            "checkedAt": TIME,
            "language": _LANGUAGE,
            "findings": about(many(ref("DoctorFinding")), "the gravest first"),
        }
    ),
    "Explanation": record(
        {
            "callId": TEXT,
            "verdict": one_of("good", "troubled", "failed", "ringing"),
            "summary": TEXT,
            "language": _LANGUAGE,
            "findings": about(many(ref("Finding")), "the most certain first"),
        }
    ),
    "NumberExplanation": record(
        {
            "number": about(TEXT, "the extension"),
            "verdict": one_of("reachable", "doubtful", "unreachable"),
            "summary": TEXT,
            "language": _LANGUAGE,
            "findings": about(many(ref("Finding")), "the most certain first"),
            "firstSeen": or_null(TIME),
            "contacts": many(ref("Contact")),
        }
    ),
}
