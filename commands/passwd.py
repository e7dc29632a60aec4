"""Set, list or remove the passwords of phones.

A running server notices the change by itself, and ends the registrations made with the old password.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from commands.refusal import refuse
from config import Config, ConfigError
from sip.numbering import NumberPlan
from sip.password_store import PasswordStore
from sip.passwords import generate, weakness
from store import open_passwords

NAME = "passwd"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", help="the number whose password is meant")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--generate", action="store_true", help="make a strong password and show it, this once")
    action.add_argument("--remove", action="store_true", help="take the password away")
    action.add_argument("--list", action="store_true", help="say which numbers have a password")


def run(arguments: argparse.Namespace, config: Config) -> int:
    with open_passwords(config) as keeper:
        return _run(PasswordStore(config, keeper), arguments, config)


def _run(store: PasswordStore, arguments: argparse.Namespace, config: Config) -> int:
    if arguments.list:
        return _list(store, config)
    plan = NumberPlan(config.ext_min, config.ext_max)
    number: str = arguments.number or ""
    if not store.keeps:
        raise ConfigError("DATA_DIR keeps nothing: set EXT_PASSWORDS or EXT_PASSWORDS_FILE instead")
    if not number:
        return refuse("which number? Try: python sipserver.py passwd 100")
    # A number that has left the range may still have a password that somebody wants to be rid of.
    if number not in plan and not (arguments.remove and number in store.load()):
        return refuse(f"{number} is no number of this office ({plan})")
    if arguments.remove:
        return _remove(store, number)
    return _set(store, config, number, generated=arguments.generate)


def _set(store: PasswordStore, config: Config, number: str, *, generated: bool) -> int:
    if generated:
        password = generate()
    else:
        typed = _ask(number)
        if typed is None:
            return refuse("the two are not the same; nothing was changed")
        password = typed
        weak = weakness(number, password)
        if weak is not None:
            return refuse(f"nothing was changed. {weak} Try --generate, which makes a good one.")
    store.set(number, password)
    if generated:
        print(f"The password of {number} is {password}")
        print("It is not shown again. Enter it in the phone, together with:")
    else:
        print(f"The password of {number} is set. Enter in the phone:")
    print(f"  user / authentication name   {number}")
    if config.auth_realm != "sipserver":
        print(f"  realm, if it asks for one    {config.auth_realm}")
    return 0


def _ask(number: str) -> str | None:
    """Twice from a person, None when the two differ; one line from a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"New password for {number}: ")
    return password if getpass.getpass("Once more: ") == password else None


def _remove(store: PasswordStore, number: str) -> int:
    if number not in store.load():
        return refuse(f"{number} has no password")
    store.remove(number)
    print(f"{number} has no password any more.")
    return 0


def _list(store: PasswordStore, config: Config) -> int:
    credentials = store.load()
    numbers = sorted(credentials.numbers(), key=int)
    if not numbers:
        need = "every phone needs one" if config.auth_required else "phones in TRUSTED_NETWORKS need none"
        print(f"No number has a password; {need}.")
    for number in numbers:
        print(f"{number}  from the settings" if store.is_given(number) else number)
    return 0
