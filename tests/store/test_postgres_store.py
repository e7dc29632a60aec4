"""The store on PostgreSQL from its start to its end, and what a program without psycopg says."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import sipserver
from config import Config, NotYet
from sip.snapshots import HistoryQuery, TerminationReason
from store import open_passwords, postgres_store, server_name
from store.postgres import PostgresDatabase
from store.postgres_store import PostgresStore
from tests.support.postgres import Cluster
from tests.support.program import run_here
from tests.support.stored import BINDING, NOON_AT

LIMIT_S = 20.0
ROOT = Path(__file__).parent.parent.parent
NOWHERE = "postgresql://sip:s3cret@127.0.0.1:1/sip"


class TestStart:
    def test_it_waits_for_a_database_that_is_late(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(postgres_store, "_POLL_S", 0.01)
        name = cluster.new_database()
        cluster.refuse(name)
        store = PostgresStore(PostgresDatabase(cluster.url(name), "one"), 365)
        started = threading.Thread(target=store.start)
        started.start()
        while "waiting for it" not in caplog.text:
            started.join(0.01)
        cluster.admit(name)
        started.join(LIMIT_S)
        assert store.put_binding(BINDING, 1) > 0
        assert store.flush(LIMIT_S)
        assert store.bindings(NOON_AT) == [BINDING]
        store.stop()

    def test_one_that_does_not_come_ends_it_with_a_status_that_invites_another_try(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(postgres_store, "START_WAIT_S", 0.0)
        ended = run_here(tmp_path, "--check", DATABASE_URL=NOWHERE, SIP_PORT="0", API_PORT="0")
        assert ended.status == sipserver.EXIT_NOT_YET
        assert ended.errors.startswith("sipserver: DATABASE_URL: the database can't be reached (")
        assert ended.errors.count("\n") == 1
        assert "s3cret" not in ended.errors

    def test_commands_say_the_same(self) -> None:
        with (
            pytest.raises(NotYet, match="DATABASE_URL: the database can't be reached"),
            open_passwords(replace(Config(), database_url=NOWHERE)),
        ):
            raise AssertionError("not reached")

    def test_psycopg_is_needed_by_who_has_a_database_url_and_loaded_for_nobody_else(self, tmp_path: Path) -> None:
        code = (
            "import os, sys, sipserver\n"
            "assert sipserver.main(['passwd', '--list']) == 0 and 'psycopg' not in sys.modules\n"
            f"sys.modules['psycopg'] = None; os.environ['DATABASE_URL'] = '{NOWHERE}'\n"
            "sys.exit(sipserver.main(['passwd', '--list']))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (
            sipserver.EXIT_USAGE,
            "sipserver: DATABASE_URL needs psycopg, which is not installed: "
            "python -m pip install -r requirements-postgres.txt\n",
        )


def test_nothing_that_was_stored_is_lost_when_the_process_is_killed(cluster: Cluster) -> None:
    """SIGKILL right after the last ticket was settled, with a call live."""
    url = cluster.url(cluster.new_database())
    code = (
        "import sys; from dataclasses import replace; from store.postgres import PostgresDatabase\n"
        "from store.postgres_store import PostgresStore; from tests.support.stored import *\n"
        "store = PostgresStore(PostgresDatabase(sys.argv[1], 'one'), 365, wall_clock=lambda: NOON_AT + 30)\n"
        "store.start()\n"
        "for number in range(100):\n"
        "    store.put_binding(replace(BINDING, binding_id=f'b-{number}', number=str(number)), 1)\n"
        "    store.end_call(ended_call(f'call {number}', NOON_AT), (MEDIA,))\n"
        "store.put_call(LIVE_CALL); assert store.flush(20); print('stored', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        process.kill()
        process.wait(LIMIT_S)
    store = PostgresStore(PostgresDatabase(url, "one"), 365, wall_clock=lambda: NOON_AT + 60)
    store.start()
    assert {binding.number for binding in store.bindings(NOON_AT)} == {str(number) for number in range(100)}
    page = store.history(HistoryQuery(None, None, None, 50, 0))
    assert page.total == 101
    assert page.calls[0].termination_reason is TerminationReason.INTERRUPTED
    assert NOON_AT <= (page.calls[0].ended_at or 0) <= NOON_AT + 30
    assert store.problems() == ()
    store.stop()


def test_a_server_is_called_what_its_machine_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_name(replace(Config(), server_name="front")) == "front"
    for node, name in (("pbx-1.example.org", "pbx-1.example.org"), ("Büro PC", "B-ro-PC"), ("", "sipserver")):
        monkeypatch.setattr("socket.gethostname", lambda node=node: node)
        assert server_name(Config()) == name
