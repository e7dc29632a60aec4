"""Put back the registrations and the call history from a backup; the server must not be running.

With DATABASE_URL: take them, and the passwords and bans in DATA_DIR, over into an empty PostgreSQL database."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from config import IN_MEMORY, Config, ConfigError
from store import open_postgres, server_name
from store.archive import restore_file

NAME = "restore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a file made by the command backup")


def run(arguments: argparse.Namespace, config: Config) -> int:
    if config.database_url:
        return _take_over(arguments.file, config)
    if str(config.data_dir) == IN_MEMORY:
        raise ConfigError("DATA_DIR keeps nothing; set it to a directory first")
    try:
        former = restore_file(config.data_dir, arguments.file, time.time())
    except OSError as error:
        raise ConfigError(f"{error.filename or config.data_dir}: {error.strerror or error}") from error
    print(f"The registrations and the call history are those of {arguments.file} now.")
    if former is not None:
        print(f"What was there before is kept in {former}.")
    return 0


def _take_over(backup: Path, config: Config) -> int:
    from store.postgres_import import take_over

    with open_postgres(config) as database:
        try:
            counts = take_over(backup, database, config, server_name(config))
        except ConfigError as error:
            advice = f'pg_restore --clean --if-exists --dbname="$DATABASE_URL" {backup}'
            raise ConfigError(f"{error}. What pg_dump has saved is put back by: {advice}") from error
    print(f"{counts['call']} calls and {counts['binding']} registrations of {backup} are in the database now,")
    print("with the passwords and bans that it had none of.")
    return 0
