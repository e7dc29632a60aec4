from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.services import HealthSnapshot, Internals
from rtp.figures import RelayTotals
from sip.snapshots import CallState, CallTotals, TerminationReason

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-long-enough"

INSIDE = Internals(
    server_transactions=3,
    client_transactions=4,
    flood_dropped=5,
    refused_requests={"challenged": 6, "wrong": 2},
    failed_registrations=7,
    connections={"tcp": 8, "tls": 9},
    queued_messages=10,
    setup_bounds_s=(1.0, 5.0),
    setup_counts=(2, 3, 1),
    setup_sum_s=22.5,
    media_port_pairs=500,
    media_port_pairs_in_use=6,
    rtp_workers=2,
    threads={"sip-udp": True, "sip-timer": False},
    log_queued=11,
    log_dropped=12,
    log_errors=13,
    log_files_failing=1,
    store_pending=14,
)


def scrape(client: FlaskClient) -> str:
    response = client.get("/metrics")
    assert response.status_code == 200
    return response.text


def families(client: FlaskClient) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(scrape(client))}


def samples(client: FlaskClient) -> dict[str, float]:
    """Values by name, with labels as Prometheus writes them."""
    lines = (line.rpartition(" ") for line in scrape(client).splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def is_counter(family: Metric) -> bool:
    return family.type in ("counter", "histogram")


# ------------------------------------------------------------------------------------------------ form


def test_the_text_format_is_the_one_that_every_prometheus_reads(client: FlaskClient) -> None:
    assert client.get("/metrics").headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_every_metric_has_a_help_text_a_type_and_a_name_by_the_conventions(client, services) -> None:
    services.inside = INSIDE
    found = families(client)
    assert len(found) > 30
    for name, family in found.items():
        assert name.startswith(("sipserver_", "process_"))
        assert family.type in ("counter", "gauge", "histogram")
        assert family.documentation.endswith("."), name
        # Base units, and none of their fractions and multiples.
        assert not {"ms", "milliseconds", "minutes", "kilobytes", "percent"} & set(name.split("_"))
    types = [line.split()[2:4] for line in scrape(client).splitlines() if line.startswith("# TYPE")]
    assert {name for name, kind in types if kind == "counter"} == {name for name, _ in types if name.endswith("_total")}


def test_no_series_is_told_twice(client, services) -> None:
    services.inside = INSIDE
    names = [line.rpartition(" ")[0] for line in scrape(client).splitlines() if not line.startswith("#")]
    assert sorted(names) == sorted(set(names))


def test_a_parameter_is_refused_like_everywhere(client) -> None:
    assert client.get("/metrics?name=x").status_code == 400


def test_a_server_that_nobody_scrapes_loads_no_library_for_it() -> None:
    program = "import sys, api; sys.exit(any(name.startswith('prometheus') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


# ------------------------------------------------------------------------------------------------ access


def test_metrics_need_the_token_where_all_else_does(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(TOKEN, api_host="0.0.0.0")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_metrics_are_not_rate_limited_and_cost_no_quota(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(api_rate_limit=2)
    for _ in range(5):
        assert client.get("/metrics").status_code == 200
    assert [client.get("/api/calls").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/metrics").status_code == 200


def test_only_reading_is_exempt(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(api_rate_limit=2)
    assert [client.post("/metrics", json={}).status_code for _ in range(3)] == [405, 405, 429]


# ------------------------------------------------------------------------------------------------ figures


def test_the_internals(client, services) -> None:
    services.inside = INSIDE
    found = samples(client)
    assert found['sipserver_sip_transactions{role="server"}'] == 3
    assert found['sipserver_sip_transactions{role="client"}'] == 4
    assert found["sipserver_sip_messages_dropped_total"] == 5
    assert found['sipserver_sip_requests_refused_total{cause="challenged"}'] == 6
    assert found['sipserver_sip_requests_refused_total{cause="wrong"}'] == 2
    assert found["sipserver_registrations_failed_total"] == 7
    assert found['sipserver_sip_connections{transport="tcp"}'] == 8
    assert found['sipserver_sip_connections{transport="tls"}'] == 9
    assert found["sipserver_sip_queued_messages"] == 10
    assert found["sipserver_rtp_port_pairs"] == 500
    assert found["sipserver_rtp_port_pairs_in_use"] == 6
    assert found["sipserver_rtp_workers"] == 2
    assert found['sipserver_thread_up{thread="sip-udp"}'] == 1
    assert found['sipserver_thread_up{thread="sip-timer"}'] == 0
    assert found["sipserver_log_queued_lines"] == 11
    assert found["sipserver_log_lines_dropped_total"] == 12
    assert found["sipserver_log_errors_total"] == 13
    assert found["sipserver_log_files_failing"] == 1
    assert found["sipserver_store_pending_changes"] == 14


def test_calls_by_state_and_by_what_became_of_them(client, services, make) -> None:
    services.live = [make.call("a"), make.call("b"), make.call("c", state=CallState.RINGING)]
    services.totals = CallTotals(9, 4, 2, 321.5, {"normal": 4, "busy": 2})
    found = samples(client)
    assert found['sipserver_calls_in_progress{state="initiated"}'] == 0
    assert found['sipserver_calls_in_progress{state="ringing"}'] == 1
    assert found['sipserver_calls_in_progress{state="established"}'] == 2
    assert found["sipserver_call_attempts_total"] == 9
    assert found["sipserver_call_talk_seconds_total"] == 321.5
    ended = {reason: found[f'sipserver_calls_ended_total{{reason="{reason.value}"}}'] for reason in TerminationReason}
    assert {reason: count for reason, count in ended.items() if count} == {
        TerminationReason.NORMAL: 4,
        TerminationReason.BUSY: 2,
    }


def test_set_up_times_add_up_from_bucket_to_bucket(client, services) -> None:
    services.inside = INSIDE
    found = samples(client)
    assert found['sipserver_call_setup_seconds_bucket{le="1.0"}'] == 2
    assert found['sipserver_call_setup_seconds_bucket{le="5.0"}'] == 5
    assert found['sipserver_call_setup_seconds_bucket{le="+Inf"}'] == 6
    assert found["sipserver_call_setup_seconds_count"] == 6
    assert found["sipserver_call_setup_seconds_sum"] == 22.5


def test_registrations(client, services, make) -> None:
    services.registered = [
        make.registration("100", make.contact(), make.contact(transport="TLS")),
        make.registration("101"),
    ]
    services.banned = {"192.0.2.66": make.ban("192.0.2.66")}
    found = samples(client)
    assert found["sipserver_extensions"] == 11
    assert found["sipserver_registered_numbers"] == 2
    assert found['sipserver_registered_devices{transport="udp"}'] == 2
    assert found['sipserver_registered_devices{transport="tcp"}'] == 0
    assert found['sipserver_registered_devices{transport="tls"}'] == 1
    assert found["sipserver_bans"] == 1


def test_media_totals_and_the_quality_of_what_flows(client, services, make) -> None:
    services.relayed = RelayTotals(packets=100, bytes=17_200, lost=3, rejected=2, dropped=1, active_streams=2)
    services.media = [
        make.stream(jitter_ms=2.0, mos=4.0, rtt_ms=10.0),
        make.stream(side=1, jitter_ms=6.0, mos=3.0, rtt_ms=None),
        make.stream("over", active=False, jitter_ms=900.0, mos=1.0, rtt_ms=900.0),
    ]
    found = samples(client)
    assert found["sipserver_rtp_packets_total"] == 100
    assert found["sipserver_rtp_bytes_total"] == 17_200
    assert found["sipserver_rtp_packets_lost_total"] == 3
    assert found["sipserver_rtp_packets_rejected_total"] == 2
    assert found["sipserver_rtp_packets_dropped_total"] == 1
    assert found["sipserver_rtp_streams"] == 2
    assert found["sipserver_rtp_jitter_average_seconds"] == pytest.approx(0.004)
    assert found["sipserver_rtp_jitter_worst_seconds"] == pytest.approx(0.006)
    assert found["sipserver_rtp_round_trip_average_seconds"] == pytest.approx(0.01)
    assert found["sipserver_rtp_round_trip_worst_seconds"] == pytest.approx(0.01)
    assert found["sipserver_rtp_mos_average"] == 3.5
    assert found["sipserver_rtp_mos_worst"] == 3.0


def test_a_silent_office_has_no_quality_rather_than_a_bad_one(client, services) -> None:
    found = families(client)
    assert found["sipserver_rtp_mos_worst"].samples == []
    assert found["sipserver_rtp_jitter_average_seconds"].samples == []


@pytest.mark.parametrize(
    ("call", "caller", "callee", "one", "both"),
    [
        ({}, 0.02, 0.02, 0, 0),
        ({}, 0.02, 11, 1, 0),
        ({}, 0.02, None, 1, 0),
        ({}, 11, None, 0, 1),
        ({"answered_ago": 9}, None, None, 0, 0),
        ({"answered_ago": None}, None, None, 0, 0),
    ],
)
def test_calls_in_which_somebody_is_not_heard(
    client, services, make: SimpleNamespace, call, caller, callee, one, both
) -> None:
    answered_ago = call.get("answered_ago", 60)
    answered_at = None if answered_ago is None else make.now_at - answered_ago
    services.live = [make.call("call-1", answered_at=answered_at)]
    services.media = [
        make.stream(side=side, last_packet_at=None if ago is None else make.now_at - ago)
        for side, ago in ((0, caller), (1, callee))
    ]
    found = samples(client)
    assert found['sipserver_calls_silent{sides="one"}'] == one
    assert found['sipserver_calls_silent{sides="both"}'] == both


def test_a_call_without_sound_by_agreement_is_not_silent(client, services, make) -> None:
    services.live = [make.call("call-1")]
    services.media = [make.stream(kind="video"), make.stream(kind="video", side=1)]
    assert samples(client)['sipserver_calls_silent{sides="both"}'] == 0


def test_the_server_itself(client, services) -> None:
    services.state = HealthSnapshot(ready=False, problems=("the disk is full", "the relay has stopped"))
    found = samples(client)
    assert found["sipserver_ready"] == 0
    assert found["sipserver_problems"] == 2
    assert found["sipserver_start_time_seconds"] == services.started_at()
    (build,) = families(client)["sipserver_build_info"].samples
    assert build.value == 1
    assert build.labels == {"version": "1.2.3", "python_version": sys.version.split()[0]}


@pytest.mark.skipif(sys.platform != "linux", reason="the figures of a process come from /proc")
def test_figures_of_the_process(client) -> None:
    found = samples(client)
    assert found["process_resident_memory_bytes"] > 1e6
    assert found["process_open_fds"] > 0
    assert found["process_cpu_seconds_total"] > 0


# ------------------------------------------------------------------------------------------------ counters


def counters(client: FlaskClient) -> dict[str, float]:
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in families(client).values()
        if is_counter(family)
        for sample in family.samples
    }


def test_counters_never_fall(client, services) -> None:
    """A late packet makes one fewer lost, a clock set back makes talk shorter: Prometheus would see a restart."""
    services.inside = INSIDE
    services.totals = CallTotals(9, 4, 2, 321.5, {"normal": 4})
    services.relayed = RelayTotals(packets=100, bytes=17_200, lost=3, rejected=2, dropped=1)
    before = counters(client)
    services.inside = replace(INSIDE, flood_dropped=0, refused_requests={"wrong": 1}, setup_counts=(1, 3, 0))
    services.totals = CallTotals(8, 4, 2, 300.0, {"normal": 3})
    services.relayed = RelayTotals(packets=99, bytes=17_000, lost=2, rejected=1)
    after = counters(client)
    # A counter whose cause is not named again is gone for this scrape, which is no fall.
    assert {name for name in before if name not in after} == {
        "sipserver_sip_requests_refused_total[('cause', 'challenged')]"
    }
    assert [name for name, value in after.items() if value < before[name]] == []
    services.relayed = RelayTotals(packets=101, bytes=17_400, lost=4, rejected=2, dropped=1)
    assert samples(client)["sipserver_rtp_packets_lost_total"] == 4


def test_two_apps_in_one_process_do_not_share_counters(make_client, services) -> None:
    services.relayed = RelayTotals(lost=5)
    assert samples(make_client())["sipserver_rtp_packets_lost_total"] == 5
    services.relayed = RelayTotals(lost=1)
    assert samples(make_client())["sipserver_rtp_packets_lost_total"] == 1


def test_scrapes_at_once_agree_on_one_set_of_counters(client, services) -> None:
    services.relayed = RelayTotals(lost=5)
    app = client.application
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: app.test_client().get("/metrics").status_code, range(16))) == {200}
    services.relayed = RelayTotals(lost=1)
    assert samples(client)["sipserver_rtp_packets_lost_total"] == 5


# ------------------------------------------------------------------------------------------------ hostile text


@pytest.mark.parametrize(
    "text",
    ['"} 1\nsipserver_ready 0', "back\\slash\\n", "line\nfeed\r", "\ud800", "\x00\x1b[31m", "ж\u202e", "{}=,", ""],
)
def test_hostile_label_values_stay_labels(client, services, make, text) -> None:
    services.totals = CallTotals(1, 0, 1, 0.0, {text: 1})
    services.registered = [make.registration("100", make.contact(transport=text))]
    services.inside = replace(INSIDE, refused_requests={text: 1}, threads={text: True})
    found = families(client)
    assert [sample.value for sample in found["sipserver_ready"].samples] == [1]
    ended = found["sipserver_calls_ended"].samples
    assert len(ended) == len(TerminationReason) + 1
    (label,) = [sample.labels["reason"] for sample in ended if sample.value == 1]
    assert label.isprintable()
    assert len(label) == len(text)


def test_no_label_names_a_person_or_a_phone(client, services, make) -> None:
    services.live = [make.call("secret-call")]
    services.media = [make.stream("secret-call")]
    services.registered = [make.registration("100")]
    services.failures = [make.failure()]
    text = scrape(client)
    for told in ("secret-call", '"100"', "192.0.2.10", "baresip"):
        assert told not in text


def test_a_fault_is_an_error_like_any_other(client, services) -> None:
    services.fault = RuntimeError("no")
    response = client.get("/metrics")
    assert response.status_code == 500
    assert response.content_type == "application/problem+json"
