"""Measurements, one file per question, the question being the file's docstring.

    python -m benchmarks --list
    python -m benchmarks --quick
    python -m benchmarks --only hello small_blocks --rounds 9 --save results.json
    python -m benchmarks --write --python python3.12 --python python3.11
    python -m benchmarks.report results.json more.json --write

All candidates of a question run side by side in one go, in interleaved rounds, so that whatever else the machine does
hits all of them; the medians are compared. Ratios carry over to other machines, absolute figures do not.
"""
