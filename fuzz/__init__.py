"""Coverage-guided fuzzing of `bridge.translate`: `python -m fuzz --seconds 20`.

Each target turns octets into a request or a sequence of calls, and holds the result against an oracle that was written
from the specifications, in another way than the code. The octets are a format of our own (`fuzz.reading`), so that the
corpus can be read by people and replayed without a fuzzer (``tests/hostile/test_corpus.py``).
"""
