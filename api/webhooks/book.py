"""Which webhooks there are, kept in `webhooks.json` of DATA_DIR (mode 0600, since their secrets stand in it).

Any thread; the leaf lock `_lock` is held while the file is written, which happens when a person adds or removes one.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from api.event_view import wanted_types
from api.webhooks.target import Target, read_url
from config import IN_MEMORY
from private_file import replace_private
from sip.events import EventType

log = logging.getLogger(__name__)

FILE_NAME: Final = "webhooks.json"
MAX_HOOKS: Final = 20
_FORMAT: Final = 1
_MAX_SIZE: Final = 1024 * 1024


class TooManyHooks(Exception):
    """There are MAX_HOOKS already."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """`types` are the patterns it was made with; `created_at` is wall clock."""

    hook_id: str
    url: str
    types: tuple[str, ...]
    secret: str = field(repr=False)
    created_at: float

    @property
    def target(self) -> Target:
        return read_url(self.url)

    @property
    def kinds(self) -> frozenset[EventType]:
        return wanted_types(",".join(self.types))


class WebhookBook:
    """What is in it is on disk too, unless DATA_DIR keeps nothing."""

    def __init__(self, data_dir: Path) -> None:
        self._path = None if str(data_dir) == IN_MEMORY else data_dir / FILE_NAME
        self._lock = threading.Lock()
        self._hooks: dict[str, Webhook] = {}
        self.on_added: Callable[[], None] | None = None
        """Told, without the lock, that there is one more."""

    def load(self) -> None:
        """Before the first event. A file that makes no sense is set aside, with an error in the log."""
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_SIZE)
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("%s can't be read, so nobody is sent events: %s", self._path, error.strerror)  # noqa: TRY400
            return
        try:
            hooks = _parse(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            damaged = self._path.with_suffix(".damaged")
            self._path.replace(damaged)
            log.error("the list of webhooks was damaged (%s); it lies in %s", error, damaged)  # noqa: TRY400
            return
        with self._lock:
            self._hooks = {hook.hook_id: hook for hook in hooks}

    def hooks(self) -> list[Webhook]:
        """In the order in which they were added."""
        with self._lock:
            return list(self._hooks.values())

    def find(self, hook_id: str) -> Webhook | None:
        with self._lock:
            return self._hooks.get(hook_id)

    def add(self, url: str, types: tuple[str, ...], now_at: float) -> Webhook:
        """A new one, with a secret of its own. Raises `ValueError` for what can't be used, `TooManyHooks`, or `OSError`
        when it can't be kept."""
        read_url(url)
        wanted_types(",".join(types))
        hook = Webhook(secrets.token_hex(8), url, types, secrets.token_urlsafe(32), now_at)
        with self._lock:
            if len(self._hooks) >= MAX_HOOKS:
                raise TooManyHooks
            self._keep({**self._hooks, hook.hook_id: hook})
        if self.on_added is not None:
            self.on_added()
        return hook

    def remove(self, hook_id: str) -> bool:
        """Whether there was one. Raises `OSError` when that can't be kept."""
        with self._lock:
            if hook_id not in self._hooks:
                return False
            self._keep({key: hook for key, hook in self._hooks.items() if key != hook_id})
        return True

    def _keep(self, hooks: dict[str, Webhook]) -> None:
        """Lock held."""
        if self._path is not None:
            text = json.dumps({"format": _FORMAT, "webhooks": [asdict(hook) for hook in hooks.values()]}, indent=1)
            replace_private(self._path, text.encode())
        self._hooks = hooks


def _parse(data: bytes) -> Iterable[Webhook]:
    content = json.loads(data)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError("not a list of webhooks of this version")
    return [_hook(row) for row in content["webhooks"]]


def _hook(row: dict[str, Any]) -> Webhook:
    hook = Webhook(
        hook_id=str(row["hook_id"]),
        url=str(row["url"]),
        types=tuple(map(str, row["types"])),
        secret=str(row["secret"]),
        created_at=float(row["created_at"]),
    )
    read_url(hook.url)
    wanted_types(",".join(hook.types))
    return hook
