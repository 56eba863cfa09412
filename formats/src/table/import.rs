//! An importer of tables.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use csv::ByteRecord;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};

use super::cell::{self, Fits};
use super::column::{Column, Described};
use super::quotes::Quotes;
use super::{Delimiter, ID_HEADER, SEPARATOR};
use crate::error::{FormatError, Place};
use crate::import::{Import, Progress};
use crate::metered::{Meter, Metered, read_error};
use crate::ndjson::LINE_BYTES_MAX;
use crate::note::{Note, Notes};
use crate::options::{ImportOptions, TableOptions};

/// So many rows are looked at before types are guessed, or fewer if they are large.
const SAMPLE_ROWS: usize = 1_000;

/// So many bytes of rows are looked at.
const SAMPLE_BYTES: usize = 1 << 20;

/// An importer of CSV or TSV. After a bad row it goes on with the next one; a bad row gives an
/// error for each bad cell, and no fact.
///
/// # Example: read a table whose columns say nothing
/// ```
/// use tercet_formats::{Delimiter, Import, ImportOptions, Table, TableOptions};
/// let table = TableOptions { entity: Some("user".into()), ..TableOptions::default() };
/// let options = ImportOptions { table, ..ImportOptions::default() };
/// let text = "id,name,age\nu1,Ann,34\nu2,Bob,\n";
/// let mut import = Table::new(text.as_bytes(), "people.csv", Delimiter::Comma, &options)?;
/// let ops: Vec<_> = import.by_ref().collect::<Result<_, _>>()?;
/// assert_eq!(ops.len(), 3); // Bob has no age
/// assert_eq!(import.notes()[0].message, "column `age` was taken for number");
/// # Ok::<(), tercet_formats::FormatError>(())
/// ```
pub struct Table<Reader> {
    rows: Rows<Reader>,
    columns: Vec<Column>,
    id: IdColumn,
    separator: char,
    /// Rows that were read to guess types, and the error that ended the looking.
    sample: VecDeque<Result<ByteRecord, FormatError>>,
    ready: VecDeque<Result<Op, FormatError>>,
    notes: Notes,
    n_bytes_total: Option<u64>,
    n_records: u64,
    finished: bool,
}

/// Where entity ids come from.
enum IdColumn {
    Index(usize),
    /// The number of the row, in this scope.
    Row(String),
}

/// Rows with their places.
struct Rows<Reader> {
    reader: csv::Reader<Metered<Quotes<Reader>>>,
    meter: Meter,
    is_open: Arc<AtomicBool>,
    input: Arc<str>,
    n_cells: usize,
}

impl Table<File> {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be opened, or its header does not fit the options.
    pub fn open(
        path: &Path,
        delimiter: Delimiter,
        options: &ImportOptions,
    ) -> Result<Self, FormatError> {
        let failed = |source| FormatError::Io { at: Place::path(path), source };
        let file = File::open(path).map_err(failed)?;
        let n_bytes = file.metadata().map_err(failed)?.len();
        let table = Table::new(file, &path.display().to_string(), delimiter, options)?;
        Ok(Table { n_bytes_total: Some(n_bytes), ..table })
    }
}

impl<Reader: Read> Table<Reader> {
    /// Reads a stream; `input` is what errors call it.
    ///
    /// # Errors
    /// When the header cannot be read or does not fit the options.
    pub fn new(
        reader: Reader,
        input: &str,
        delimiter: Delimiter,
        options: &ImportOptions,
    ) -> Result<Self, FormatError> {
        let mut rows = Rows::new(reader, input, delimiter);
        let header = rows.header()?;
        let at = Place::line(&rows.input, 1);
        let (id, columns) = columns_of(&header, options, &at)?;
        let mut table = Table {
            rows,
            columns,
            id,
            separator: options.table.separator.unwrap_or(SEPARATOR),
            sample: VecDeque::new(),
            ready: VecDeque::new(),
            notes: Notes::default(),
            n_bytes_total: None,
            n_records: 0,
            finished: false,
        };
        if table.columns.iter().any(|column| column.cell_type.is_none()) {
            table.guess_types();
        }
        Ok(table)
    }

    fn guess_types(&mut self) {
        let mut fits = vec![Fits::ALL; self.columns.len()];
        let mut n_bytes = 0;
        while self.sample.len() < SAMPLE_ROWS && n_bytes < SAMPLE_BYTES {
            let mut row = ByteRecord::new();
            match self.rows.next(&mut row) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // It comes in its turn, after the rows before it.
                    self.sample.push_back(Err(error));
                    break;
                }
            }
            n_bytes += row.as_slice().len();
            for (column, fits) in self.columns.iter().zip(&mut fits) {
                let text = row.get(column.index).and_then(|cell| std::str::from_utf8(cell).ok());
                let text = text.unwrap_or_default();
                let separators: &[char] = if column.has_many { &[self.separator] } else { &[] };
                let parts = text.split(|c| separators.contains(&c));
                parts.filter(|part| !part.is_empty()).for_each(|part| fits.take(part));
            }
            self.sample.push_back(Ok(row));
        }
        for (column, fits) in self.columns.iter_mut().zip(fits) {
            if column.cell_type.is_none() {
                let guess = fits.narrowest();
                column.cell_type = Some(guess);
                let message = format!("column `{}` was taken for {guess}", column.header);
                self.notes.add("type_guessed", message);
            }
        }
    }

    /// Makes operations, or errors, of the next row. False at the end.
    fn read_row(&mut self) -> bool {
        let row = match self.sample.pop_front() {
            Some(row) => row,
            None => {
                let mut row = ByteRecord::new();
                match self.rows.next(&mut row) {
                    Ok(true) => Ok(row),
                    Ok(false) => {
                        self.finished = true;
                        return false;
                    }
                    Err(error) => Err(error),
                }
            }
        };
        match row {
            Ok(row) => {
                self.n_records += 1;
                let at = self.rows.place(&row);
                match self.ops_of(&row, &at) {
                    Ok(ops) => self.ready.extend(ops.into_iter().map(Ok)),
                    Err(errors) => self.ready.extend(errors.into_iter().map(Err)),
                }
            }
            Err(error) => {
                self.finished = true;
                self.ready.push_back(Err(error));
            }
        }
        true
    }

    fn ops_of(&self, row: &ByteRecord, at: &Place) -> Result<Vec<Op>, Vec<FormatError>> {
        if row.len() != self.rows.n_cells {
            let message =
                format!("the row has {} cells, the header {}", row.len(), self.rows.n_cells);
            let error = FormatError::malformed(at.clone(), "row_length", message);
            return Err(vec![error.with_hint("quote cells that hold the delimiter")]);
        }
        let mut errors = Vec::new();
        let mut texts = Vec::with_capacity(row.len());
        for (index, cell) in row.iter().enumerate() {
            let text = std::str::from_utf8(cell);
            if text.is_err() {
                let at = at.clone().at_column(index as u64 + 1);
                errors.push(FormatError::NotUtf8 { at });
            }
            texts.push(text.unwrap_or_default());
        }
        let entity = match self.entity(&texts, at) {
            Ok(entity) if errors.is_empty() => entity,
            Ok(_) => return Err(errors),
            Err(error) => {
                errors.push(error);
                return Err(errors);
            }
        };
        let mut ops = Vec::new();
        for column in &self.columns {
            let text = texts[column.index];
            if text.is_empty() {
                continue;
            }
            if let Err((code, message)) = self.take_cell(column, text, &entity, &mut ops) {
                let at = at.clone().at_column(column.index as u64 + 1);
                let message = format!("column `{}`: {message}", column.header);
                errors.push(FormatError::malformed(at, code, message));
            }
        }
        if errors.is_empty() { Ok(ops) } else { Err(errors) }
    }

    fn take_cell(
        &self,
        column: &Column,
        text: &str,
        entity: &EntityId,
        ops: &mut Vec<Op>,
    ) -> Result<(), (&'static str, String)> {
        let cell_type = column.cell_type.expect("types were guessed before the first row");
        let (e, a) = (|| entity.clone(), || column.attribute.clone());
        if column.has_many {
            let values = cell::values(text, cell_type, self.separator)?;
            ops.extend(values.into_iter().map(|v| Op::Add { e: e(), a: a(), v }));
        } else {
            ops.push(Op::Set { e: e(), a: a(), v: cell::value(text, cell_type)? });
        }
        Ok(())
    }

    fn entity(&self, texts: &[&str], at: &Place) -> Result<EntityId, FormatError> {
        let (text, at) = match &self.id {
            IdColumn::Index(index) => {
                (texts[*index].to_owned(), at.clone().at_column(*index as u64 + 1))
            }
            IdColumn::Row(scope) => (format!("{scope}:{}", self.n_records), at.clone()),
        };
        EntityId::new(text)
            .map_err(|error| FormatError::malformed(at, error.code(), error.to_string()))
    }
}

impl<Reader: Read> Rows<Reader> {
    fn new(reader: Reader, input: &str, delimiter: Delimiter) -> Self {
        let (quotes, is_open) = Quotes::new(reader, delimiter.byte());
        let (metered, meter) = Metered::new(quotes, LINE_BYTES_MAX);
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter.byte()).flexible(true).has_headers(false);
        let reader = builder.buffer_capacity(1 << 16).from_reader(metered);
        Rows { reader, meter, is_open, input: input.into(), n_cells: 0 }
    }

    fn header(&mut self) -> Result<Vec<String>, FormatError> {
        let mut row = ByteRecord::new();
        if !self.next(&mut row)? {
            let at = Place::line(&self.input, 1);
            return Err(FormatError::malformed(at, "malformed", "the table has no header"));
        }
        self.n_cells = row.len();
        let at = self.place(&row);
        let cells = row.iter().enumerate().map(|(index, cell)| match std::str::from_utf8(cell) {
            // A name with its type is written by somebody who means it, also its blanks.
            Ok(text) if text.contains('/') => Ok(text.to_owned()),
            Ok(text) => Ok(text.trim().to_owned()),
            Err(_) => Err(FormatError::NotUtf8 { at: at.clone().at_column(index as u64 + 1) }),
        });
        cells.collect()
    }

    fn next(&mut self, row: &mut ByteRecord) -> Result<bool, FormatError> {
        let at = Place::line(&self.input, self.reader.position().line());
        let read = self.reader.read_byte_record(row);
        self.meter.record_done();
        match read.map_err(csv::Error::into_kind) {
            Ok(_) if self.is_open.load(Ordering::Relaxed) => {
                let message = "the table ends within quotes: it was cut short";
                Err(FormatError::malformed(at, "truncated", message))
            }
            Ok(is_row) => Ok(is_row),
            Err(csv::ErrorKind::Io(source)) => Err(read_error(source, at)),
            Err(other) => {
                let message = format!("the row is damaged: {other:?}");
                Err(FormatError::malformed(at, "malformed", message))
            }
        }
    }

    fn place(&self, row: &ByteRecord) -> Place {
        Place::line(&self.input, row.position().map_or(1, csv::Position::line))
    }
}

/// What each column means.
fn columns_of(
    header: &[String],
    options: &ImportOptions,
    at: &Place,
) -> Result<(IdColumn, Vec<Column>), FormatError> {
    let table = &options.table;
    let missing = |name: &str| {
        FormatError::option(format!(
            "the table has no column `{name}`; its columns are {}",
            header.join(", ")
        ))
    };
    if let Some(rule) = table.columns.iter().find(|rule| !header.contains(&rule.header)) {
        return Err(missing(&rule.header));
    }
    let id_header = table.id_column.as_deref().unwrap_or(ID_HEADER);
    let id = match header.iter().position(|name| name == id_header) {
        Some(index) => IdColumn::Index(index),
        None if id_header == "-" => match &options.scope {
            Some(scope) => IdColumn::Row(scope.clone()),
            None => return Err(FormatError::option("rows without ids need a scope to get some")),
        },
        None if table.id_column.is_some() => return Err(missing(id_header)),
        None => {
            return Err(FormatError::option(format!(
                "the table has no column `{ID_HEADER}`; name the one with the ids by --id-column, \
                 or number the rows with --id-column -; its columns are {}",
                header.join(", ")
            )));
        }
    };
    let mut columns: Vec<Column> = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let is_id = matches!(&id, IdColumn::Index(id) if *id == index);
        let rule = table.columns.iter().find(|rule| rule.header == *name);
        let described = match rule {
            Some(rule) => rule.described.clone(),
            None if is_id => None,
            None => Some(Described::of(name)),
        };
        let Some(described) = described else { continue };
        let at = at.clone().at_column(index as u64 + 1);
        let column = column(index, name, described, table, &at)?;
        let is_double = |other: &&Column| {
            other.attribute == column.attribute && !(other.has_many || column.has_many)
        };
        if let Some(other) = columns.iter().find(is_double) {
            let message = format!("columns `{}` and `{name}` are one attribute", other.header);
            return Err(FormatError::malformed(at, "column_twice", message)
                .with_hint("leave one out, or say that both hold several values: FIELD:TYPE[]"));
        }
        columns.push(column);
    }
    // Within a row a value that replaces comes before those that join.
    columns.sort_by_key(|column| column.has_many);
    Ok((id, columns))
}

fn column(
    index: usize,
    header: &str,
    described: Described,
    table: &TableOptions,
    at: &Place,
) -> Result<Column, FormatError> {
    let Described { field, cell_type, has_many } = described;
    let attribute = match &table.entity {
        _ if field.contains('/') => Attribute::new(field),
        Some(entity) => Attribute::new(format!("{entity}/{field}")),
        None => {
            let message = format!("column `{header}` names no type");
            return Err(FormatError::malformed(at.clone(), "attribute_malformed", message)
                .with_hint("say what the rows are with --entity, or write headers as type/field"));
        }
    };
    let attribute = attribute.map_err(|error| {
        FormatError::malformed(at.clone(), error.code(), error.to_string())
            .with_hint("give the column another name with --column HEADER=FIELD")
    })?;
    Ok(Column { index, header: header.to_owned(), attribute, cell_type, has_many })
}

impl<Reader: Read> Iterator for Table<Reader> {
    type Item = Result<Op, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.finished || !self.read_row() {
                return None;
            }
        }
    }
}

impl<Reader: Read> Import for Table<Reader> {
    fn progress(&self) -> Progress {
        Progress {
            n_bytes: self.rows.meter.n_bytes(),
            n_bytes_total: self.n_bytes_total,
            n_records: self.n_records,
        }
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.list()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &[u8], options: &ImportOptions) -> Vec<String> {
        let table = match Table::new(text, "in", Delimiter::Comma, options) {
            Ok(table) => table,
            Err(error) => return vec![format!("{}: {error}", error.code())],
        };
        table
            .map(|item| match item {
                Ok(op) => format!("{} {}", op.entity(), op.value().unwrap()),
                Err(error) => format!("{}: {error}", error.code()),
            })
            .collect()
    }

    fn of_users() -> ImportOptions {
        let table = TableOptions { entity: Some("user".into()), ..TableOptions::default() };
        ImportOptions { table, ..ImportOptions::default() }
    }

    #[test]
    fn a_row_is_whole_or_not_there() {
        let text = b"id,name:string,age:number,at:date\nu1,Ann,x,y\nu2,Bob,3,\n";
        let items = read(text, &of_users());
        assert_eq!(
            items,
            [
                "cell_malformed: in:2:3: column `age:number`: `x` is no number of 64 bits",
                "date_malformed: in:2:4: column `at:date`: `y` is not a date; write it as \
                 2024-01-15 or 2024-01-15T10:30:00.000Z",
                "u2 \"Bob\"",
                "u2 3",
            ]
        );
    }

    #[test]
    fn an_error_among_the_first_rows_comes_in_its_turn() {
        let items = read(b"id,name\nu1,Ann\nu2\nu3,\"Bob", &of_users());
        assert_eq!(items.len(), 3, "{items:?}");
        assert!(items[1].starts_with("row_length: in:3: "), "{items:?}");
        assert!(items[2].starts_with("truncated: in:"), "{items:?}");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_bounded() {
        let mut text = b"id,name:string\nu1,\"".to_vec();
        text.resize(LINE_BYTES_MAX * 2, b'x');
        let items = read(&text, &of_users());
        assert_eq!(items.len(), 1);
        assert!(items[0].starts_with("line_too_long: in:2: "), "{items:?}");
    }

    #[test]
    fn rows_without_ids_are_numbered() {
        let mut options = of_users();
        options.table.id_column = Some("-".into());
        assert!(read(b"name:string\nAnn\n", &options)[0].starts_with("format_option"));
        options.scope = Some("s".into());
        assert_eq!(read(b"name:string\nAnn\nBob\n", &options), ["s:1 \"Ann\"", "s:2 \"Bob\""]);
    }
}
