"""All about one call, over HTTP: the call itself, its ladder, messages, capture and quality."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, unquote

import pytest

from rtp.quality import FORMULA
from sip.media_stream import SideDescription, StreamDescription
from sip.sdp_values import Direction
from sip.trace import CallTrace, StreamQuality
from tests.support import traces
from tests.support.dialogues import BEGAN_AT, CALL, INVITE, decided, make_call, make_trace
from tracing.pcap import capture

PATHS = ("", "/ladder", "/messages", "/pcap", "/quality")
INVITED = "2026-07-29T12:00:00.250Z"

SAMPLE = replace(traces.SAMPLE, jitter_ms=2.51234, gap_ms=220.06, mos=3.94321)
STREAM = StreamDescription(
    0,
    "audio",
    "RTP/AVP",
    SideDescription("192.168.1.10:4000", ("PCMU", "PCMA", "G729"), Direction.SENDRECV, False, False),
    SideDescription("192.168.1.12:4002", ("PCMA", "PCMU"), Direction.SENDONLY, True, False),
    (10_000, 10_002),
)


@pytest.fixture
def trace(services, make) -> CallTrace:
    made = make_trace(streams=(STREAM,), quality=(StreamQuality("audio", 1, 10_002, "PCMA", (SAMPLE,)),))
    services.traces = [replace(made, media=(make.figures(),))]
    return services.traces[0]


def test_all_about_one_call(trace, client) -> None:
    answer = client.get("/api/calls/call-1").json
    assert (answer["callId"], answer["inviteTime"], answer["reasonText"]) == ("call-1", INVITED, "100 hung up")
    (figures,) = answer["media"]
    assert (figures["sender"], figures["packets"], figures["mos"]) == ("caller", 3000, 4.31)
    assert (figures["fromAddress"], figures["fromPort"], figures["relayPort"]) == ("192.0.2.10", 4000, 10_000)
    assert (figures["toAddress"], figures["toPort"]) == ("192.0.2.11", 4002)
    assert answer["streams"] == [
        {
            "kind": "audio",
            "protocol": "RTP/AVP",
            "codecs": ["PCMA", "PCMU"],
            "caller": {
                "address": "192.168.1.10:4000",
                "codecs": ["PCMU", "PCMA", "G729"],
                "direction": "sendrecv",
                "secure": False,
                "rejected": False,
            },
            "callee": {
                "address": "192.168.1.12:4002",
                "codecs": ["PCMA", "PCMU"],
                "direction": "sendonly",
                "secure": True,
                "rejected": False,
            },
            "relayPorts": {"caller": 10_000, "callee": 10_002},
        }
    ]
    assert [(party["role"], party["address"], party["statusCode"]) for party in answer["parties"]] == [
        ("caller", "192.168.1.10:5062", 200),
        ("callee", "192.168.1.11:5060", 487),
        ("callee", "192.168.1.12:49152", 200),
    ]
    assert answer["parties"][1] == {
        "role": "callee",
        "number": "101",
        "address": "192.168.1.11:5060",
        "transport": "UDP",
        "userAgent": "Wall 2",
        "contact": "sip:101@192.168.1.11",
        "calledAt": "2026-07-29T12:00:00.251Z",
        "ringingAt": "2026-07-29T12:00:00.450Z",
        "answeredAt": None,
        "offset": 0.001,
        "statusCode": 487,
        "statusText": "Request Terminated",
    }
    assert [(each["offset"], each["event"], each["fact"]) for each in answer["timeline"]] == [
        (0.0, "invited", None),
        (0.001, "decision", "called"),
        (0.2, "ringing", None),
        (3.0, "answered", None),
        (4.0, "media", None),
        (63.0, "ended", None),
    ]
    assert answer["timeline"][-1]["text"] == "100 hung up"
    assert answer["trace"] == {"kept": True, "entries": 15, "dropped": 0, "forgottenAt": None}


def test_the_end_stands_in_the_timeline_once(services, client) -> None:
    services.traces = [make_trace(decided(63.0, "call ended: normal: 100 hung up", "ended", reason="normal"))]
    events = [each["event"] for each in client.get("/api/calls/call-1").json["timeline"]]
    assert events == ["invited", "ringing", "answered", "ended"]


def test_its_links_lead_to_the_rest_and_to_this_very_call(trace, services, client) -> None:
    services.traces.append(replace(trace, call=make_call(invited_at=BEGAN_AT + 100), entries=()))
    links = client.get(f"/api/calls/call-1?inviteTime={INVITED}").json["links"]
    assert list(links) == ["self", "explain", "ladder", "messages", "pcap", "quality"]
    assert len(client.get(links["messages"]).json) == 13
    assert len(client.get("/api/calls/call-1/messages").json) == 0, "the newest is another one"
    assert client.get(links["self"]).json["inviteTime"] == INVITED
    assert client.get("/api/calls/call-1?inviteTime=2026-07-29T12:00:00.251Z").status_code == 404


@pytest.mark.parametrize("call_id", ["a/b@h", "a/ladder", "/x//", "50%2F50", "..", "Zo\u00eb? #1", "B\udcff"])
def test_a_call_id_may_hold_any_characters(trace, services, client, call_id: str) -> None:
    services.traces = [replace(trace, call=make_call(call_id=call_id))]
    encoded = quote(call_id.encode("utf-8", "surrogateescape"), safe="")
    for path in PATHS:
        assert client.get(f"/api/calls/{encoded}{path}").status_code == 200, path
    links = client.get(f"/api/calls/{encoded}").json["links"]
    assert unquote(links["self"].partition("?")[0], errors="surrogateescape") == f"/api/calls/{call_id}"
    assert client.get(links["ladder"]).status_code == 200


def test_a_path_that_makes_no_sense_is_no_fault(client) -> None:
    answer = client.get("/api/calls/x", environ_overrides={"REQUEST_URI": "//[x/api/calls/x"})
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_the_history_keeps_its_path_and_leaves_a_call_of_that_name_the_others(trace, services, client) -> None:
    services.traces = [replace(trace, call=make_call(call_id="history"))]
    assert client.get("/api/calls/history").json == []
    assert client.get("/api/calls/history/messages").json[0]["summary"] == "INVITE (SDP)"


def test_a_call_in_progress_is_known_by_what_is_shown_of_its_call_id(trace, services, client) -> None:
    call = make_call(call_id="B\udcff\x1b")
    services.live, services.traces = [call], [replace(trace, call=call)]
    shown = quote("B\ufffd\ufffd")
    assert client.get(f"/api/calls/{shown}").status_code == 200


def test_the_ladder_as_json(trace, client) -> None:
    answer = client.get("/api/calls/call-1/ladder").json
    assert (answer["callId"], answer["inviteTime"], answer["dropped"]) == ("call-1", INVITED, 0)
    assert answer["participants"][:2] == [
        {"id": "phone1", "role": "caller", "name": "100", "address": "192.168.1.10:5062", "transport": "UDP"},
        {"id": "server", "role": "server", "name": "server", "address": None, "transport": None},
    ]
    assert answer["steps"][7] == {
        "index": 7,
        "time": "2026-07-29T12:00:00.751Z",
        "offset": 0.501,
        "kind": "message",
        "label": "INVITE (SDP)",
        "from": "server",
        "to": "phone2",
        "method": "INVITE",
        "status": None,
        "cseq": "1 INVITE",
        "isRepeated": True,
        "size": answer["steps"][3]["size"],
    }
    assert answer["steps"][2] == {
        "index": 2,
        "time": "2026-07-29T12:00:00.251Z",
        "offset": 0.001,
        "kind": "decision",
        "label": "two phones of 101 are called",
        "fact": "called",
    }


@pytest.mark.parametrize(("form", "first"), [("text", "Call call-1"), ("mermaid", "sequenceDiagram")])
def test_the_ladder_as_text(trace, services, client, form: str, first: str) -> None:
    services.traces = [replace(trace, call=make_call(from_number="1\x1b[31m0"))]
    answer = client.get(f"/api/calls/call-1/ladder?format={form}")
    assert (answer.status_code, answer.content_type) == (200, "text/plain; charset=utf-8")
    assert answer.text.splitlines()[0] == first
    assert "\x1b" not in answer.text and "\ufffd[31m" in answer.text
    assert answer.text.endswith("\n")


def test_another_format_is_refused(trace, client) -> None:
    answer = client.get("/api/calls/call-1/ladder?format=svg")
    assert (answer.status_code, answer.json["parameter"]) == (400, "format")
    assert "json, text or mermaid" in answer.json["detail"]


def test_the_messages(trace, client) -> None:
    answer = client.get("/api/calls/call-1/messages").json
    assert [each["index"] for each in answer] == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]
    text = answer[0].pop("text")
    assert text.splitlines() == INVITE.decode().splitlines()
    assert answer[0] == {
        "index": 0,
        "time": INVITED,
        "offset": 0.0,
        "direction": "received",
        "transport": "UDP",
        "localAddress": "192.168.1.2:5060",
        "remoteAddress": "192.168.1.10:5062",
        "size": len(INVITE),
        "summary": "INVITE (SDP)",
        "method": "INVITE",
        "status": None,
        "cseq": "1 INVITE",
        "isRepeated": False,
    }


def test_bytes_that_are_no_text_are_shown_as_such_and_a_lost_text_as_null(trace, services, client) -> None:
    odd, lost = replace(trace.entries[0], data=b"INVITE \xff\x00\r\nA: b\r\n"), replace(trace.entries[1], data=b"")
    services.traces = [replace(trace, entries=(odd, lost))]
    answer = client.get("/api/calls/call-1/messages").json
    assert [each["text"] for each in answer] == ["INVITE \ufffd\ufffd\nA: b\n", None]


def test_the_capture(trace, client) -> None:
    answer = client.get("/api/calls/call-1/pcap")
    assert answer.data == capture(trace, lambda _host: "192.0.2.1")
    assert answer.content_type == "application/vnd.tcpdump.pcap"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="call-100-101-20260729T120000Z.pcap"'


def test_quality_over_time(trace, client) -> None:
    answer = client.get("/api/calls/call-1/quality").json
    assert (answer["callId"], answer["formula"]) == ("call-1", FORMULA)
    (stream,) = answer["streams"]
    (sample,) = stream.pop("samples")
    assert stream == {"kind": "audio", "sender": "callee", "relayPort": 10_002, "codec": "PCMA"}
    assert sample == {
        "time": "2026-07-29T12:00:10.250Z",
        "offset": 10.0,
        "span": 5.0,
        "packets": 240,
        "lost": 10,
        "lossRate": 0.0403,
        "outOfOrder": 1,
        "duplicates": 2,
        "late": 3,
        "dropped": 4,
        "jitter": 2.512,
        "gap": 220.1,
        "mos": 3.94,
        "remoteLost": 12,
        "remoteJitter": 1.5,
        "roundTrip": 0.03,
    }


def test_a_call_that_nobody_knows(client) -> None:
    for path in PATHS:
        answer = client.get(f"/api/calls/nobody{path}")
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
        assert (answer.json["error"], answer.json["reason"]) == ("There is no such call.", "unknown")


@pytest.mark.parametrize(
    ("forgotten_at", "reason", "since"),
    [(None, "not-kept", None), (BEGAN_AT + 86_400, "forgotten", "2026-07-30T12:00:00.250Z")],
)
def test_a_call_whose_messages_are_gone_says_since_when(
    services, client, forgotten_at: float | None, reason: str, since: str | None
) -> None:
    services.traces = [CallTrace(CALL, is_kept=False, forgotten_at=forgotten_at)]
    answer = client.get("/api/calls/call-1").json
    assert answer["trace"] == {"kept": False, "entries": 0, "dropped": 0, "forgottenAt": since}
    assert list(answer["links"]) == ["self"]
    for path in PATHS[1:]:
        answer = client.get(f"/api/calls/call-1{path}")
        assert (answer.status_code, answer.json["reason"]) == (404, reason)
        assert answer.json.get("forgottenAt") == since
        assert "TRACE_DAYS=7" in answer.json["detail"] and "TRACE_MAX_MB=200" in answer.json["detail"]
        assert since is None or since in answer.json["detail"]
