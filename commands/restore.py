"""Put back the registrations and the call history from a backup; the server must not be running."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from config import IN_MEMORY, Config, ConfigError
from store.archive import restore_file

NAME = "restore"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a file made by the command backup")


def run(arguments: argparse.Namespace, config: Config) -> int:
    if config.database_url:
        raise ConfigError(
            "DATABASE_URL: what is kept in PostgreSQL is put back by its own pg_restore, while no server runs: "
            f'pg_restore --clean --if-exists --dbname="$DATABASE_URL" {arguments.file}'
        )
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
