"""What one ordinary request costs, counted and not timed: instructions, calls, switches of threads, objects.

`python -m tests.cost` shows it and brings ``ledger.json`` up to date; ``test_ledger.py`` fails when the code and the
ledger differ.
"""
