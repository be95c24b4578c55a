"""Benchmarks: both sides of each comparison in one run, ratios first. Never part of the tests."""
