//! Streaming import and export: NDJSON, WordNet.
