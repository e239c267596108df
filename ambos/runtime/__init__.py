"""Programs become results here: loading, memory, threads, execution. See README.md."""
