"""Whether the server is as it should be, in words.  Waitress workers."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from api.explanation_views import diagnosis_view
from api.explanations import in_language, read_language
from api.query import Query
from api.services import current
from explain.doctor.diagnosis import diagnose

bp = Blueprint("doctor", __name__)


@bp.get("/api/doctor")
def doctor() -> Response:
    """What is found, the gravest first."""
    language = read_language(Query("lang"))
    facts = current().services.doctor_facts()
    return in_language(jsonify(diagnosis_view(diagnose(facts), facts.now_at, language)), language)
