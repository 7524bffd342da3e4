"""Frameworks' applications x servers x ways of bringing them together: real processes, real requests.

``python -m tests.matrix`` runs all of it; the suite runs a selection that changes with the Python version.
"""
