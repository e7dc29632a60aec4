"""GET /api/doctor: its verdict, its findings, its language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explain.doctor.facts import Running

WELL = Running(5060, 0, 3000, 0.0)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"running": WELL, "protected": 2}, "ok"),
        ({"running": WELL, "protected": 2, "call_capacity": 2}, "warning"),
        ({"running": WELL, "weak_numbers": ("100",)}, "problem"),
    ],
)
def test_the_verdict_is_that_of_the_gravest_finding(client, services, changes, verdict: str) -> None:
    services.examined = replace(services.examined, **changes)
    assert client.get("/api/doctor").json["verdict"] == verdict


def test_a_finding_has_severity_evidence_and_remedy_in_the_readers_language(client, services) -> None:
    services.examined = replace(services.examined, running=WELL, weak_numbers=("100",))
    answer = client.get("/api/doctor?lang=ru")
    first = answer.json["findings"][0]
    assert (first["rule"], first["severity"], answer.headers["Content-Language"]) == ("weak-passwords", "problem", "ru")
    assert "passwd" in first["remedy"] and "100" in first["cause"]
    assert first["evidence"] == [{"kind": "setting", "text": "password", "value": "100", "index": None, "at": None}]
