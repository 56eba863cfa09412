//! Query text, its JSON form and a builder, all into one program; errors with positions.
