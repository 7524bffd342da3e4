"""Measurements, one file per question, the question being the file's docstring.

    python -m benchmarks --quick
    python -m benchmarks --only hello --rounds 9 --output results.md

All candidates of a question run side by side in one go, in interleaved rounds, so that whatever else the machine does
hits all of them; the medians are compared. Ratios carry over to other machines, absolute figures do not.
"""
