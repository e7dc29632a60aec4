"""How a command says that it won't do what it was asked for."""

from __future__ import annotations

import sys

EXIT_REFUSED = 1
"""Exit status when what was asked for can't be done and nothing was changed."""


def refuse(text: str) -> int:
    """One line on standard error; the exit status."""
    print(f"sipserver: {text}", file=sys.stderr)
    return EXIT_REFUSED
