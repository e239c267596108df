"""One file per family of workloads; each has a list CASES (see bench/README.md)."""
