//! Benchmarks: named workloads with fixed seeds, as a table and as JSON.
