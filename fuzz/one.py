"""Fuzz one target in this process, until libFuzzer ends it: ``python -m fuzz.one TARGET [LIBFUZZER ARGUMENTS]``.

Run by `fuzz.__main__`, in a process of its own, because libFuzzer ends with its process. The code under test is
instrumented while it is imported, so nothing of `bridge` may be imported before.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

# The oracles too: where they branch, the rules do.
with atheris.instrument_imports(include=["bridge.translate", "fuzz"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    program, target, *arguments = sys.argv
    atheris.Setup([program, *arguments], TARGETS[target])
    atheris.Fuzz()
