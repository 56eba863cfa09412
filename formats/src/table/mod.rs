//! Tables: CSV and TSV, one entity a row.
//!
//! ```text
//! id,user/name:string,user/age:number,user/friend:ref[]
//! u1,Ann,34,u2|u3
//! ```
//!
//! A header is `FIELD`, `FIELD:TYPE` or `FIELD:TYPE[]`; a [`ColumnRule`] says the same from
//! outside. A column of one value is written by `set`, a column of several (`[]`) by `add`. An
//! empty cell is no fact. Columns without a type get the narrowest one that fits the first rows,
//! and a note says which; a later cell that does not fit is an error, and no fact of its row is
//! given. An export names and types every column, so that it needs no options to come back: what
//! does not fit a plain cell (values of several types, empty strings) becomes a `json` column.

mod cell;
mod column;
mod import;
mod quotes;
mod write;

pub use column::{CellType, ColumnRule};
pub use import::Table;
pub(crate) use write::{notes, write};

/// What separates the cells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// CSV.
    Comma,
    /// TSV.
    Tab,
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Delimiter::Comma => b',',
            Delimiter::Tab => b'\t',
        }
    }
}

/// What stands between the values of one cell unless told otherwise.
pub(crate) const SEPARATOR: char = '|';

/// The header of the column with entity ids unless told otherwise.
const ID_HEADER: &str = "id";
