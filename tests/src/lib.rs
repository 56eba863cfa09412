//! Oracles, generators and named workloads shared by the tests and benches.
