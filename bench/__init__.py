"""Benchmarks: one workload is one short file with a twin for each framework (see README.md)."""
