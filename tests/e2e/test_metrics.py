"""What Prometheus reads of a running server."""

from __future__ import annotations

from collections.abc import Callable

from log_setup import start_logging
from tests.support.office import Office, eventually


def test_a_call_from_its_set_up_to_its_end(office: Office) -> None:
    alice, bob = office.phones("100", "101")
    before = office.api.metrics()
    call, _ = office.connect(alice, bob)

    during = office.api.metrics()
    assert before["sipserver_registered_numbers"] == 2
    assert during['sipserver_calls_in_progress{state="established"}'] == 1
    assert during["sipserver_call_attempts_total"] == before["sipserver_call_attempts_total"] + 1
    assert during["sipserver_call_setup_seconds_count"] == before["sipserver_call_setup_seconds_count"] + 1
    assert during["sipserver_rtp_port_pairs_in_use"] == 2
    assert during["sipserver_rtp_port_pairs"] > 2
    assert during['sipserver_sip_transactions{role="server"}'] > 0

    call.hang_up()
    office.last_ended()
    after = office.api.metrics()
    assert after['sipserver_calls_ended_total{reason="normal"}'] == 1
    assert after["sipserver_rtp_port_pairs_in_use"] == 0


def test_threads_connections_and_refusals(start_office: Callable[..., Office]) -> None:
    office = start_office()
    office.phone("100", transport="TCP")
    stranger = office.unregistered("999")
    stranger.send_register(60)
    found = eventually(
        lambda: (figures := office.api.metrics())["sipserver_registrations_failed_total"] and figures, "the refusal"
    )
    assert found["sipserver_registrations_failed_total"] == 1
    assert found['sipserver_sip_connections{transport="tcp"}'] == 1
    assert found["sipserver_sip_queued_messages"] == 0
    threads = {name: up for name, up in found.items() if name.startswith("sipserver_thread_up")}
    assert len(threads) == 8
    assert set(threads.values()) == {1.0}


def test_figures_of_the_log(office: Office) -> None:
    logs = start_logging(office.config, console=False)
    try:
        assert office.api.metrics()["sipserver_log_files_failing"] == 0
    finally:
        logs.stop()
