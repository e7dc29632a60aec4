"""Save the registrations and the call history in one file, also while the server runs."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

from commands.refusal import refuse
from config import IN_MEMORY, Config, ConfigError
from store.archive import backup_file
from store.database import FILE_NAME
from store.trouble import clause

NAME = "backup"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")


def run(arguments: argparse.Namespace, config: Config) -> int:
    target: Path = arguments.file
    if config.database_url:
        raise ConfigError(
            "DATABASE_URL: what is kept in PostgreSQL is saved by its own pg_dump: "
            f'pg_dump --schema=sipserver --format=custom --file={target} "$DATABASE_URL"'
        )
    if str(config.data_dir) == IN_MEMORY:
        raise ConfigError("DATA_DIR keeps nothing, so there is nothing to save")
    database = config.data_dir / FILE_NAME
    if not database.exists():
        return refuse(f"there is no {database} yet; the server makes it at its first start")
    if target.exists() and (target.samefile(database) or not arguments.force):
        return refuse(f"{target} exists; name another file, or replace it with --force")
    try:
        backup_file(database, target)
    except OSError as error:
        raise ConfigError(f"{target}: can't be written ({error.strerror or error})") from error
    except sqlite3.Error as error:
        raise ConfigError(f"the backup failed: {clause(error)} ({error})") from error
    print(f"The registrations and the call history are saved in {target}.")
    print(f"Passwords, bans, webhooks and certificates are files of their own in {config.data_dir}; copy these too.")
    return 0
