"""Coverage-guided fuzzing of every parser that the network reaches; needs `pip install -r requirements-fuzz.txt`.

    python -m tests.fuzz.run                         all targets, a minute each
    python -m tests.fuzz.run sdp core --seconds 600  two of them, ten minutes each
    python -m tests.fuzz.run sdp --input FILE        one input again, with its traceback

What is found interesting is kept in `.fuzz/TARGET` from one run to the next, an input that fails as
`.fuzz/TARGET-crash-...`: it belongs into `tests/fuzz/corpus/TARGET` together with the repair.  Each target runs in a
process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / ".fuzz"
TIMEOUT_S = 10
"""For one input, a thousand times what the slowest takes."""
MEMORY_MB = 1024

_PROGRESS = re.compile(r"#[0-9]+\s+(?:NEW|REDUCE|RELOAD)\s")
"""One line for each input that is kept: thousands."""


def main() -> int:
    """0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help="one or more of the table in targets.py; all when none is given")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target (default: %(default)s)")
    parser.add_argument("--input", type=Path, help="check this file only, without the fuzzer")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return fuzz(options.target[0], options.seconds)
    from tests.fuzz.targets import TARGETS

    unknown = set(options.target) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = options.target or list(TARGETS)
    if options.input is not None:
        if len(options.target) != 1:
            parser.error("--input takes exactly one target")
        TARGETS[names[0]].check(options.input.read_bytes())
        return 0
    failed = [name for name in names if run_alone(name, options.seconds)]
    print(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    return 1 if failed else 0


def run_alone(name: str, seconds: int) -> int:
    """In a process of its own: the fuzzer ends the one it runs in."""
    print(f"--- {name}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(seconds), "--here"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not _PROGRESS.match(line):
                print(line, end="", flush=True)
    return process.returncode


def fuzz(name: str, seconds: int) -> int:
    """Does not come back."""
    import atheris

    # What is imported from here on reports its branches.
    with atheris.instrument_imports(include=["sip", "rtp", "api.query"]):
        from tests.fuzz.targets import CORPUS, TARGETS
        from tests.fuzz.tokens import dictionary
    target = TARGETS[name]
    corpus = WORK / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words = WORK / "dictionary"
    words.write_text(dictionary())
    folders = [str(folder) for folder in (corpus, CORPUS / name) if folder.exists()]
    settings = {
        "dict": words,
        "artifact_prefix": f"{WORK}/{name}-",
        "max_total_time": seconds,
        "max_len": target.max_length,
        "timeout": TIMEOUT_S,
        "rss_limit_mb": MEMORY_MB,
        "print_final_stats": 1,
        "verbosity": 1,
    }
    atheris.Setup([sys.argv[0], *folders, *(f"-{key}={value}" for key, value in settings.items())], target.check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
