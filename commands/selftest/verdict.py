"""What a self-test found, in words for people and as JSON for programs.  Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_WIDTH = 110
_MARGIN = " " * 10


class Level(StrEnum):
    """How bad it is.  `SKIPPED`: not judged, and the finding says why."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.  `check` is its lasting name for programs; `title` is what was found, in a few words;
    `meaning` and `advice` are sentences for somebody who knows no telephony, `advice` "" when nothing need be done."""

    check: str
    level: Level
    title: str
    meaning: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about the server at `server`; `views` says from where it was looked at, a sentence each."""

    server: str
    views: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst level; a skipped check alone is no reason to worry."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.DANGER, Level.WARNING) if level in levels), Level.OK)

    def to_json(self) -> dict[str, object]:
        return {
            "verdict": str(self.level),
            "server": self.server,
            "views": list(self.views),
            "checks": [
                {
                    "check": each.check,
                    "level": str(each.level),
                    "title": each.title,
                    "meaning": each.meaning,
                    "advice": each.advice,
                }
                for each in self.findings
            ],
        }

    def to_text(self) -> str:
        blocks = [f"sipserver at {self.server}", *(_wrapped(view, "  ") for view in self.views), ""]
        blocks += [_block(finding) for finding in self.findings]
        return "\n".join([*blocks, "", self._summary()])

    def _summary(self) -> str:
        counts = {level: sum(each.level is level for each in self.findings) for level in Level}
        skipped = f"; {counts[Level.SKIPPED]} could not be made" if counts[Level.SKIPPED] else ""
        made = f"{len(self.findings)} checks: {counts[Level.DANGER]} danger, {counts[Level.WARNING]} warning{skipped}."
        return f"{made}  {_CONCLUSIONS[self.level]}"


_CONCLUSIONS = {
    Level.OK: "Nothing was found that needs your attention.",
    Level.WARNING: "The server is not open to strangers, but read the warnings.",
    Level.DANGER: "Do what is said under DANGER before this server is reachable from outside.",
}


def _block(finding: Finding) -> str:
    mark = finding.level.upper() if finding.level is Level.DANGER else str(finding.level)
    return block(mark, finding.title, finding.meaning, finding.advice and f"What to do: {finding.advice}")


def block(mark: str, title: str, meaning: str, advice: str) -> str:
    """One finding for a terminal; `advice` "" where there is none."""
    lines = [f"{mark:<{len(_MARGIN)}}{title}", _wrapped(meaning, _MARGIN)]
    return "\n".join([*lines, _wrapped(advice, _MARGIN)] if advice else lines)


def _wrapped(text: str, margin: str) -> str:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, _WIDTH, initial_indent=margin, subsequent_indent=margin, **options)  # type: ignore[arg-type]


def shown_numbers(numbers: Sequence[str], most: int = 12) -> str:
    """Numbers for a sentence, the first few of many."""
    more = len(numbers) - most
    return ", ".join(numbers[:most]) + (f" and {more} more" if more > 0 else "")
