"""Dashboard and alert rules ask only for what `/metrics` tells, and the alerts come when they should and not before."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from api import create_app
from api.services import Internals
from config import Config
from sip.snapshots import CallTotals
from tests.api.conftest import STREAM, FakeServices
from tests.deploy.tools import DEPLOY, needs, output

ALERTS = DEPLOY / "prometheus" / "alerts.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
DASHBOARD = DEPLOY / "grafana" / "sipserver.json"

ADDED_BY_PROMETHEUS = {"job", "instance", "le"}

NAME = re.compile(r"\b(?:sipserver|process)_[a-z_]+")
SELECTOR = re.compile(r"\b((?:sipserver|process)_[a-z_]+|up)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"')


def told() -> dict[str, set[str]]:
    """Every series of `/metrics` by name, with the names of its labels."""
    services = FakeServices(
        totals=CallTotals(0, 0, 0, 0.0, {}),
        media=[STREAM],
        inside=Internals(
            refused_requests={"wrong": 1},
            connections={"tcp": 1},
            threads={"sip-udp": True},
            setup_bounds_s=(),
            faults={"sip-udp": 1},
        ),
    )
    text = create_app(services, Config(), version="1").test_client().get("/metrics").text
    families = list(text_string_to_metric_families(text))
    series = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    assert "process_open_fds" in series
    return series


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> Iterator[tuple[str, str, str]]:
    """Where it stands, the expression, and the text that is shown with it."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for rule in rules():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())


# ------------------------------------------------------------------------------------------------ what they ask for


def test_every_query_asks_for_what_is_told() -> None:
    series = told()
    assert {
        (where, name) for where, query, _ in queries() for name in NAME.findall(query) if name not in series
    } == set()


def test_every_label_that_is_asked_for_or_shown_is_there() -> None:
    series = {**told(), "up": set[str]()}
    for where, query, shown in queries():
        for name, matchers in SELECTOR.findall(query):
            assert set(MATCHER.findall(matchers)) <= series[name] | ADDED_BY_PROMETHEUS, where
        labels = set(re.findall(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}", shown))
        asked = set().union(*(series[name] for name in NAME.findall(query)), ADDED_BY_PROMETHEUS)
        assert labels <= asked, where


def test_everything_that_is_told_is_shown() -> None:
    asked = " ".join(query for _, query, _ in queries())
    shown = set(NAME.findall(asked))
    left_out = {name for name in told() if name not in shown and not name.startswith("process_")}
    assert {name for name in left_out if not name.startswith("sipserver_call_setup_seconds_")} == set()


# ------------------------------------------------------------------------------------------------ dashboard


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert "id" not in dashboard
    sources = {json.dumps(found) for found in _values_of("datasource", dashboard)}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "instance"]


def _values_of(key: str, tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        if key in tree:
            yield tree[key]
        for value in tree.values():
            yield from _values_of(key, value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values_of(key, value)


def test_every_panel_has_a_number_and_a_place_of_its_own() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    for one, other in combinations((panel["gridPos"] for panel in panels()), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in panels()) == 24


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    promtool = needs("promtool", "Debian package prometheus")
    expressions = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for _, query, _ in queries()]
    recorded = [{"record": f"query_{index}", "expr": expression} for index, expression in enumerate(expressions)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    status, said = output(promtool, "check", "rules", file)
    assert status == 0, said


# ------------------------------------------------------------------------------------------------ alerts


def test_every_alert_says_in_words_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}
        for text in rule["annotations"].values():
            assert text.endswith((".", "}}.")), rule["alert"]


def test_prometheus_understands_configuration_and_rules() -> None:
    promtool = needs("promtool", "Debian package prometheus")
    status, said = output(promtool, "check", "config", PROMETHEUS)
    assert status == 0, said


HOUR_MIN = 60
WELL = {
    'up{job="sipserver"}': "1x60",
    "sipserver_ready": "1x60",
    "sipserver_problems": "0x60",
    'sipserver_thread_up{thread="sip-udp"}': "1x60",
    "sipserver_start_time_seconds": "1000x60",
    "sipserver_registered_numbers": "10x60",
    "sipserver_registrations_failed_total": "0+1x60",
    "sipserver_bans": "1x60",
    "sipserver_sip_messages_dropped_total": "0x60",
    'sipserver_calls_ended_total{reason="normal"}': "0+1x60",
    'sipserver_calls_ended_total{reason="media-timeout"}': "3x60",
    'sipserver_calls_ended_total{reason="unreachable"}': "0x30 1x30",
    'sipserver_calls_ended_total{reason="error"}': "0x60",
    'sipserver_calls_silent{sides="one"}': "0x60",
    "sipserver_rtp_packets_total": "0+6000x60",
    "sipserver_rtp_packets_lost_total": "0+60x60",
    "sipserver_rtp_mos_average": "4.3x60",
    "sipserver_rtp_port_pairs": "500x60",
    "sipserver_rtp_port_pairs_in_use": "20x60",
    'process_open_fds{job="sipserver"}': "100x60",
    'process_max_fds{job="sipserver"}': "65536x60",
    "sipserver_log_files_failing": "0x60",
    "sipserver_log_lines_dropped_total": "0x60",
    "sipserver_log_errors_total": "2x60",
    "sipserver_store_pending_changes": "0x20 5x2 0x60",
}
"""An hour of an office of ten, a value a minute: people phone, somebody mistypes a password now and then."""

BAD: dict[str, dict[str, str]] = {
    "SipserverDown": {'up{job="sipserver"}': "1x50 0x10"},
    "SipserverNotReady": {"sipserver_ready": "1x50 0x10"},
    "SipserverHindered": {"sipserver_problems": "0x50 1x10"},
    "SipserverThreadDead": {'sipserver_thread_up{thread="sip-udp"}': "1x50 0x10"},
    "SipserverRestarting": {"sipserver_start_time_seconds": "1000x20 2000x10 3000x10 4000x20"},
    "SipserverNoPhones": {"sipserver_registered_numbers": "10x50 0x10"},
    "SipserverRegistrationsFail": {"sipserver_registrations_failed_total": "0+3x60"},
    "SipserverNewBan": {"sipserver_bans": "1x55 2x10"},
    "SipserverFlooded": {"sipserver_sip_messages_dropped_total": "0x30 0+600x30"},
    "SipserverCallsWithoutSound": {'sipserver_calls_ended_total{reason="media-timeout"}': "3x50 4x10"},
    "SipserverOneSidedCall": {'sipserver_calls_silent{sides="one"}': "0x50 1x10"},
    "SipserverPacketLoss": {"sipserver_rtp_packets_lost_total": "0+600x60"},
    "SipserverPoorSound": {"sipserver_rtp_mos_average": "4.3x50 3.1x10"},
    "SipserverPortsNearlyExhausted": {"sipserver_rtp_port_pairs_in_use": "20x50 450x10"},
    "SipserverFilesNearlyExhausted": {'process_open_fds{job="sipserver"}': "100x50 60000x10"},
    "SipserverCallsFail": {'sipserver_calls_ended_total{reason="error"}': "0x30 8x30"},
    "SipserverLogNotWritten": {"sipserver_log_files_failing": "0x50 1x10"},
    "SipserverDatabaseNotWritten": {"sipserver_store_pending_changes": "0x40 5x20"},
    "SipserverErrors": {"sipserver_log_errors_total": "2x50 3x10"},
}
"""What makes each alert come, and no other."""


def test_every_alert_has_its_bad_hour() -> None:
    assert [rule["alert"] for rule in rules()] == list(BAD)
    assert {series for bad in BAD.values() for series in bad} <= WELL.keys()


def test_an_alert_comes_when_it_should_and_no_other_does(tmp_path: Path) -> None:
    promtool = needs("promtool", "Debian package prometheus")
    file = tmp_path / "test.yml"
    tests = [_story(alert) for alert in (None, *BAD)]
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    status, said = output(promtool, "test", "rules", file)
    assert status == 0, said


def _story(alert: str | None) -> dict[str, Any]:
    """An hour in which everything is well but for what must set off the alert, for promtool."""
    series = WELL | (BAD[alert] if alert else {})
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
    return {
        "name": alert or "all is well",
        "interval": "1m",
        "input_series": [{"series": _of_instance(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{HOUR_MIN - 1}m", "exp_samples": expected}],
    }


def _of_instance(name: str) -> str:
    return f'{name[:-1]},instance="a"}}' if name.endswith("}") else f'{name}{{instance="a"}}'
