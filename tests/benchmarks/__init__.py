"""Tests of the benchmarks: of what is made of figures, never of the figures."""
