"""One file per workload; the file's name is the workload's name."""
