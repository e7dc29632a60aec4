"""Statistics, media streams, health."""

from __future__ import annotations

import platform
import sys

import pytest

from api.errors import Problem
from api.memory import memory_bytes
from api.services import HealthSnapshot
from api.statistics import PERIODS_LAST_S
from rtp.figures import RelayTotals
from sip.snapshots import CallState, CallTotals, DirectionResult, QualityResult, TimelinePoint, Verdict


def test_call_figures(services, client, make) -> None:
    services.live = [
        make.call("a"),
        make.call("b", state=CallState.RINGING),
        make.call("c", state=CallState.RINGING),
    ]
    services.totals = CallTotals(total=10, completed=4, failed=3, talk_s=50.0, by_reason={"normal": 4, "busy": 3})
    assert client.get("/api/statistics").json["calls"] == {
        "activeCalls": 3,
        "totalCalls": 10,
        "completedCalls": 4,
        "failedCalls": 3,
        "averageDuration": 12.5,
        "stateStats": {"INITIATED": 0, "RINGING": 2, "ESTABLISHED": 1, "TERMINATED": 7},
    }


def test_figures_of_the_last_days(services, client, make) -> None:
    services.periods = [
        make.period(1),
        make.period(7, calls=20),
        make.period(30, calls=0, answered=0, completed=0, failed=0, talk_s=0.0, by_reason={}, average_mos=None),
    ]
    periods = client.get("/api/statistics").json["periods"]
    assert list(periods) == ["today", "last7Days", "last30Days"]
    assert periods["today"] == {
        "since": "2030-03-17T16:46:40.000Z",
        "totalCalls": 8,
        "answeredCalls": 6,
        "completedCalls": 5,
        "failedCalls": 3,
        "talkTime": 300.0,
        "averageDuration": 50.0,
        "answerRate": 0.75,
        "averageMos": 4.26,
        "reasons": {"normal": 5, "interrupted": 1, "busy": 2},
    }
    assert periods["last7Days"]["answerRate"] == 0.3
    empty = periods["last30Days"]
    assert [empty[name] for name in ("averageDuration", "answerRate", "averageMos")] == [None] * 3


def test_the_last_days_are_summed_up_every_few_seconds_only(services, client, clock, make) -> None:
    services.periods = [make.period(1)]
    for _ in range(3):
        client.get("/api/statistics")
    assert services.sums == 1
    services.periods = [make.period(1, calls=9)]
    clock.now += PERIODS_LAST_S
    assert client.get("/api/statistics").json["periods"]["today"]["totalCalls"] == 9
    assert services.sums == 2


def test_each_server_has_its_own_figures_of_the_last_days(services, client, make_client) -> None:
    client.get("/api/statistics")
    make_client().get("/api/statistics")
    assert services.sums == 2


def test_figures_without_a_readable_history(services, client, make) -> None:
    services.history_fault = Problem(503, "The history can't be read at the moment.", "Try again soon.")
    services.live = [make.call("a")]
    answer = client.get("/api/statistics")
    assert (answer.status_code, answer.json["periods"], answer.json["calls"]["activeCalls"]) == (200, None, 1)
    services.history_fault = None
    assert client.get("/api/statistics").json["periods"] == {}


def test_user_figures(services, client, make) -> None:
    def contact(address, age_s, expires_in_s=100):
        return make.contact(address=address, registered_at=make.now_at - age_s, expires_at=make.now_at + expires_in_s)

    services.registered = [
        make.registration("100", contact("192.0.2.1", 10), contact("192.0.2.2", 7200)),
        make.registration("101", contact("192.0.2.1", 5)),
        make.registration("102", contact("192.0.2.3", 3599, expires_in_s=0)),
    ]
    users = client.get("/api/statistics").json["users"]
    assert (users["totalUsers"], users["activeUsers"]) == (3, 2)
    assert users["addressStats"] == {"192.0.2.1": 2, "192.0.2.2": 1, "192.0.2.3": 1}
    assert users["recentRegistrations"] == [
        {"number": "101", "address": "192.0.2.1", "registeredAt": "2030-03-17T17:46:35.000Z"},
        {"number": "100", "address": "192.0.2.1", "registeredAt": "2030-03-17T17:46:30.000Z"},
        {"number": "102", "address": "192.0.2.3", "registeredAt": "2030-03-17T16:46:41.000Z"},
    ]


def test_recent_registrations_are_ten_at_most(services, client, make) -> None:
    services.registered = [
        make.registration(str(number), make.contact(registered_at=make.now_at - number)) for number in range(100, 111)
    ]
    recent = client.get("/api/statistics").json["users"]["recentRegistrations"]
    assert [entry["number"] for entry in recent] == [str(number) for number in range(100, 110)]


def test_media_and_server_figures(services, client) -> None:
    services.relayed = RelayTotals(packets=9, bytes=1548, lost=2, rejected=1, dropped=4, active_streams=6)
    answer = client.get("/api/statistics").json
    assert answer["rtp"] == {
        "activeStreams": 6,
        "packets": 9,
        "bytes": 1548,
        "lost": 2,
        "rejected": 1,
        "dropped": 4,
    }
    server = answer["server"]
    assert (server["uptime"], server["startedAt"]) == (86_400.25, "2030-03-16T17:46:39.750Z")
    assert (server["version"], server["pythonVersion"]) == ("1.2.3", platform.python_version())


def test_figures_of_a_server_that_has_done_nothing(client) -> None:
    answer = client.get("/api/statistics").json
    assert answer["calls"]["averageDuration"] == 0
    assert answer["users"]["recentRegistrations"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_this_process() -> None:
    ballast = bytearray(b"x") * (16 * 1024 * 1024)
    memory = memory_bytes()
    assert memory["rss"] is not None
    assert memory["peakRss"] is not None
    assert memory["rss"] > len(ballast)
    assert memory["peakRss"] > len(ballast)


def test_memory_is_unknown_where_there_is_no_proc(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("api.memory._STATM", tmp_path / "missing")
    assert memory_bytes()["rss"] is None


def test_a_stream_and_its_direction(services, client, make) -> None:
    services.media = [make.stream(side=0), make.stream(side=1, packets=5, jitter_ms=0.12345)]
    caller, callee = client.get("/api/rtp-streams").json
    assert (caller["sender"], caller["packets"], caller["jitter"]) == ("caller", 3000, 1.25)
    assert (callee["sender"], callee["packets"], callee["jitter"]) == ("callee", 5, 0.123)
    assert (caller["codec"], caller["relayPort"], caller["lost"]) == ("PCMA", 10000, 3)
    assert (caller["remoteJitter"], caller["roundTrip"], caller["mos"]) == (2.5, 0.012, 4.3)
    assert caller["lastPacketAt"] == "2030-03-17T17:46:39.980Z"


def test_the_newest_stream_is_first_and_its_directions_stay_together(services, client, make) -> None:
    services.media = [
        make.stream(call_id, kind=kind, side=side)
        for call_id, kind in (("old", "audio"), ("new", "audio"), ("new", "video"))
        for side in (0, 1)
    ]
    answer = [(each["callId"], each["kind"], each["sender"]) for each in client.get("/api/rtp-streams").json]
    assert answer == [
        ("new", "video", "caller"),
        ("new", "video", "callee"),
        ("new", "audio", "caller"),
        ("new", "audio", "callee"),
        ("old", "audio", "caller"),
        ("old", "audio", "callee"),
    ]


def test_health(services, client) -> None:
    assert client.get("/healthz").json == {"status": "ok", "problems": []}
    services.state = HealthSnapshot(True, ("the disk is full: calls are not recorded",))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["problems"]) == (200, ["the disk is full: calls are not recorded"])


def test_health_of_a_server_that_can_not_work(services, client) -> None:
    services.state = HealthSnapshot(False, ("the media relay has stopped", "no phone can call"))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert (answer.json["status"], answer.json["problems"]) == (503, list(services.state.problems))
    assert answer.json["detail"] == "The media relay has stopped; no phone can call."
    services.state = HealthSnapshot(False)
    assert client.get("/healthz").json["detail"].startswith("It is starting or stopping")


def test_the_timeline_of_a_period(services, client) -> None:
    services.points = [
        TimelinePoint(1_900_000_000.0, 3, 2, 4.126),
        TimelinePoint(1_900_086_400.0, 0, 0, None),
    ]
    answer = client.get("/api/statistics/timeline?period=last7Days")
    assert answer.json == {
        "period": "last7Days",
        "bucket": "day",
        "points": [
            {"since": "2030-03-17T17:46:40.000Z", "totalCalls": 3, "answeredCalls": 2, "averageMos": 4.13},
            {"since": "2030-03-18T17:46:40.000Z", "totalCalls": 0, "answeredCalls": 0, "averageMos": None},
        ],
    }
    assert client.get("/api/statistics/timeline").json["bucket"] == "hour"


def test_a_period_that_is_none_is_named(client) -> None:
    answer = client.get("/api/statistics/timeline?period=year")
    assert (answer.status_code, answer.json["parameter"]) == (400, "period")
    assert "today, last7Days, last30Days" in answer.json["detail"]


def test_results_of_the_quality_test(services, client, make) -> None:
    heard = DirectionResult(Verdict.FAIR, "fair: ...", 490, 10, 2.0408, 3.21987, 3.8765, None, -17.249)
    unheard = DirectionResult(Verdict.UNKNOWN, "unknown: ...", 500, None, None, None, None, 12.3456, None)
    services.tested = [QualityResult("call-1", "*44", "100", make.now_at, heard, unheard)]
    answer = client.get("/api/test-calls")
    assert answer.headers["X-Total-Count"] == "1"
    (result,) = answer.json
    assert (result["callId"], result["number"], result["fromNumber"]) == ("call-1", "*44", "100")
    assert result["toServer"] == {
        "verdict": "fair",
        "text": "fair: ...",
        "packets": 490,
        "lost": 10,
        "lostPercent": 2.04,
        "jitter": 3.22,
        "mos": 3.88,
        "roundTrip": None,
        "loudest": -17.2,
    }
    assert (result["toPhone"]["verdict"], result["toPhone"]["lost"]) == ("unknown", None)
    assert result["toPhone"]["roundTrip"] == 0.0123
