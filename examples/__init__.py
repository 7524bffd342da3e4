"""Small programs that show one thing each; every one is run by ``tests/test_examples.py``."""
