"""Small programs that show one thing each; every one is run by a test (``tests/test_examples*.py``)."""
