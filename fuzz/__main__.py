"""``python -m fuzz``: fuzz `bridge.translate`, or replay inputs. The exit code is 1 if something was found."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fuzz.targets import TARGETS, corpus_of

_HERE = Path(__file__).parent
_FOUND = _HERE / "found"
_DICTIONARY = _HERE / "dictionary.txt"
_MOST_BYTES = 1024
_MARGIN_S = 120
"""Beyond its time a target may need this long: to be instrumented, to read its corpus, to finish its last input."""
_SLOWEST_INPUT_S = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz bridge.translate.")
    parser.add_argument("--seconds", type=int, default=20, help="how long each target is fuzzed (default: 20)")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="fuzz this one; may be repeated")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same one gives the same inputs; 0 is another each time"
    )
    parser.add_argument("--into", type=Path, help="keep inputs that reach new code in this directory, one for a target")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"), help="run one input, without the fuzzer")
    options = parser.parse_args(arguments)
    if options.replay:
        return replay(options.replay[0], Path(options.replay[1]))
    if find_spec("atheris") is None:
        _say("atheris, the fuzzer, is not installed here: pip install atheris (or the extra: '.[fuzz]').")
        _say("Without it the corpus can still be replayed: python -m pytest tests/hostile/test_corpus.py")
        return 2
    targets = options.target or list(TARGETS)
    results = [fuzz(target, options.seconds, options.seed, options.into) for target in targets]
    return 0 if all(results) else 1


def replay(target: str, path: Path) -> int:
    """Run one input; return the exit code."""
    if target not in TARGETS:
        _say(f"There is no target {target!r}; there are: {', '.join(TARGETS)}.")
        return 2
    try:
        TARGETS[target](path.read_bytes())
    except Exception:  # noqa: BLE001 - whatever it is, it is what was found
        _say(traceback.format_exc().rstrip())
        return 1
    _say(f"{target}: all is well with {path}.")
    return 0


def fuzz(target: str, seconds: int, seed: int, into: Path | None) -> bool:
    """Fuzz one target in a process of its own; return whether all was well."""
    found = _FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    with tempfile.TemporaryDirectory(prefix="bridge-fuzz-") as scratch:
        new = Path(scratch) if into is None else into / target
        new.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "fuzz.one", target, f"-max_total_time={seconds}", f"-seed={seed}"),
            *(f"-artifact_prefix={found}/", f"-dict={_DICTIONARY}", f"-max_len={_MOST_BYTES}"),
            *(f"-timeout={_SLOWEST_INPUT_S}", "-print_final_stats=1", str(new), str(corpus_of(target))),
        ]
        try:
            process = subprocess.run(  # noqa: S603 - this interpreter, with arguments made here
                command,
                cwd=_HERE.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds + _MARGIN_S,
                check=False,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            _say(f"{target}: did not end {_MARGIN_S} s after its time; it hangs outside of the code under test.")
            return False
    inputs = sorted(set(found.iterdir()) - before)
    if process.returncode == 0 and not inputs:
        _say(f"{target}: {_summary(process.stdout)} in {seconds} s, nothing was found.")
        return True
    _say(process.stdout.rstrip())
    _say(f"{target}: FOUND SOMETHING; what it is stands above (exit code {process.returncode}).")
    for path in inputs:
        _say(f"  the input: {path}")
        _say(f"  replay it: python -m fuzz --replay {target} {path}")
        _say(f"  when it is mended, keep it: move it to {corpus_of(target)}")
    return False


def _summary(output: str) -> str:
    executed = re.findall(r"stat::number_of_executed_units:\s*(\d+)", output)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", output)
    count = f"{int(executed[-1]):,} inputs" if executed else "some inputs"
    return f"{count} ({reached[-1][0]} edges, {reached[-1][1]} features)" if reached else count


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
