"""Files that are nobody else's business: replaced in one step, readable by their owner only.

A driver: it touches the disk and waits for it, so it must not be called under the core lock.
"""

from __future__ import annotations

import os
from pathlib import Path


def replace_private(path: Path, data: bytes) -> None:
    """Make `data` the content of the file, with mode 0600; its directory is made when it is missing.

    Whatever happens in between, the file is the one before or the one after.  Raises `OSError`.
    """
    import tempfile  # brings much along that a start can do without

    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes a file of mode 0600 and of a name nobody else has.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
