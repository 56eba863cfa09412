//! Traits for change logs and outboxes, in memory and on libSQL: the only files with SQL.
