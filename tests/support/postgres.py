"""A PostgreSQL server of the tests' own: made in a directory that goes with it, reached by a socket in that directory.

It ends with the process that has started it, also when that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "postgresql"
LIMIT_S = 60.0

_MEMORY = Path("/dev/shm")
_ROOM = 2 * 1024**3
"""Bytes: many times what one server takes, since every test process may start one."""

_DEBIAN = Path("/usr/lib/postgresql")
_PR_SET_PDEATHSIG = 1
_USER = "postgres"
_POLL = 0.01


def programs() -> Path | None:
    """The directory of initdb and postgres: Debian keeps them where no PATH leads."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max((path.parent for path in _DEBIAN.glob("*/bin/initdb")), default=None)


def require() -> Path:
    """Without it the test is skipped, or fails where the environment says CI=true."""
    path = programs()
    if path is not None:
        return path
    reason = f"initdb is not installed (Debian package {PACKAGE})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _place() -> Path:
    """Memory, where there is room: every database is three hundred files, and on a disk that is most of the work."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(_MEMORY).free >= _ROOM:
            return _MEMORY
    return Path("/tmp")  # not TMPDIR: the path of a socket is short


class Cluster:
    """One running server.  Its databases are made as they are needed, and go with it."""

    def __init__(self, listen: str = "", port: int = 5432) -> None:
        """`listen` is an address to be reached at besides the socket."""
        self.directory = Path(tempfile.mkdtemp(prefix="sipserver-pg-", dir=_place()))
        self.port = port
        self._listen = listen
        self._bin = require()
        self._count = 0
        self._lent: list[str] = []
        self._free: list[str] = []
        self._refused: set[str] = set()
        self._server: subprocess.Popen[bytes] | None = None
        if self._as_user():
            owner = pwd.getpwnam(_USER)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        self._run(
            "initdb", "--pgdata", str(self._data), "--no-sync", "--no-instructions", "--auth=trust",
            f"--username={_USER}", "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        if listen:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all all trust\n")
        self.start()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @staticmethod
    def _as_user() -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        owner = pwd.getpwnam(_USER)
        return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"}

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([self._bin / program, *arguments], check=True, capture_output=True, **self._as_user())

    # -------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Returns when it takes connections."""
        libc = ctypes.CDLL(None)
        settings = {
            "listen_addresses": self._listen,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "autovacuum": "off",
            "deadlock_timeout": "10ms",
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *arguments],
                stdout=log,
                stderr=log,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT),
                **self._as_user(),
            )
        self._until(lambda: self._answers(), "the database takes connections")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends its connections and closes its files; SIGQUIT is a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(LIMIT_S)
            self._server = None

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self.directory / "log").read_text()
        return (self.directory / f".s.PGSQL.{self.port}").exists() and self._is_ready()

    def _is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    @staticmethod
    def _until(condition: Callable[[], bool], what: str) -> None:
        deadline, pause = time.monotonic() + LIMIT_S, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}"
            pause.wait(_POLL)

    # -------------------------------------------------------------------------------------------- databases

    def url(self, database: str, host: str = "") -> str:
        """By its socket, or by an address."""
        if host:
            return f"postgresql://{_USER}@{host}:{self.port}/{database}"
        return f"postgresql://{_USER}@/{database}?host={self.directory}&port={self.port}"

    def new_database(self, options: str = "", *, kept: bool = False) -> str:
        """The name of an empty one; unless it is `kept`, until `take_back`."""
        if self._free and not options:
            name = self._free.pop()
        else:
            self._count += 1
            name = f"try{self._count}"
            self.execute("postgres", f"CREATE DATABASE {name} STRATEGY FILE_COPY {options}")
        if not kept and not options:
            self._lent.append(name)
        return name

    def take_back(self) -> None:
        """Empty what a test has used, for the next one: that is done sooner than a new one is made."""
        for name in self._lent:
            if name in self._refused:
                self.admit(name)
            self._end_sessions(name)
            self.execute(name, "DROP SCHEMA IF EXISTS sipserver CASCADE")
        self._free += self._lent
        self._lent.clear()

    def _end_sessions(self, database: str) -> None:
        self.execute(
            "postgres", f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        )

    def execute(self, database: str, sql: str) -> list[Any]:
        """What a stranger reads or does there."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute("SET search_path = sipserver")
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def refuse(self, database: str) -> None:
        """End the connections to that database and take no new ones, as one that is away does."""
        self.execute("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        self._refused.add(database)
        self._end_sessions(database)

    def admit(self, database: str) -> None:
        """The database is back."""
        self.execute("postgres", f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        self._refused.discard(database)
