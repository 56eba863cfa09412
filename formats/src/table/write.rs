//! Facts as a table: a row for each entity, a column for each attribute and way of writing.

use std::collections::BTreeMap;
use std::io::Write;

use tercet_engine::fact::Kind;
use tercet_engine::ids::Attribute;
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use super::cell;
use super::column::CellType;
use super::{Delimiter, ID_HEADER, SEPARATOR};
use crate::error::FormatError;
use crate::export::{Shape, entities, shapes, type_of, write_error};
use crate::note::{Note, Notes};
use crate::options::ExportOptions;

/// What a table of this type does not hold.
pub(crate) fn notes(snapshot: &Snapshot, options: &ExportOptions) -> Vec<Note> {
    let Some(entity) = &options.entity else { return Vec::new() };
    let mut notes = Notes::default();
    let facts = snapshot.iter().filter(|(fact, _)| type_of(&fact.attribute) != entity);
    for _ in facts {
        notes.add("other_types", format!("facts of types other than {entity} were not written"));
    }
    notes.list()
}

/// Writes the facts, all or those of one type.
pub(crate) fn write(
    snapshot: &Snapshot,
    delimiter: Delimiter,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<(), FormatError> {
    let separator = options.separator.unwrap_or(SEPARATOR);
    let is_wanted = |attribute: &Attribute| {
        options.entity.as_ref().is_none_or(|entity| type_of(attribute) == entity)
    };
    let columns: BTreeMap<(Attribute, Kind), CellType> = shapes(snapshot, separator)
        .into_iter()
        .filter(|((attribute, _), _)| is_wanted(attribute))
        .map(|(key, shape)| (key, cell_type(&shape)))
        .collect();
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter.byte()).from_writer(out);
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(source) => write_error(source),
        other => unreachable!("rows have as many cells as columns: {other:?}"),
    };
    let headers = columns.iter().map(|((attribute, kind), cell_type)| match kind {
        Kind::Set => format!("{attribute}:{cell_type}"),
        Kind::Add => format!("{attribute}:{cell_type}[]"),
    });
    writer.write_record(std::iter::once(ID_HEADER.to_owned()).chain(headers)).map_err(failed)?;
    for entity in entities(snapshot) {
        let mut cells: BTreeMap<(Attribute, Kind), Vec<Value>> = BTreeMap::new();
        for (fact, mark) in snapshot.entity_facts(&entity) {
            if is_wanted(&fact.attribute) {
                cells.entry((fact.attribute, mark.kind)).or_default().push(fact.value);
            }
        }
        if cells.is_empty() {
            continue;
        }
        let texts = columns.iter().map(|(key, &cell_type)| {
            let values = cells.get(key).map_or(&[][..], |values| values);
            text_of(values, key.1, cell_type, separator)
        });
        writer
            .write_record(std::iter::once(entity.as_str().to_owned()).chain(texts))
            .map_err(failed)?;
    }
    writer.flush().map_err(write_error)
}

/// The narrowest type that gives every cell back.
fn cell_type(shape: &Shape) -> CellType {
    match shape.value_type() {
        Some(value_type) if !shape.has_awkward_text => CellType::Plain(value_type),
        _ => CellType::Json,
    }
}

fn text_of(values: &[Value], kind: Kind, cell_type: CellType, separator: char) -> String {
    let json = |json: Result<String, _>| json.expect("values are plain data");
    match (values, kind, cell_type) {
        ([], ..) => String::new(),
        (_, Kind::Add, CellType::Json) => json(serde_json::to_string(values)),
        ([value, ..], Kind::Set, CellType::Json) => json(serde_json::to_string(value)),
        (_, _, CellType::Plain(_)) => {
            let texts: Vec<String> = values.iter().map(cell::plain).collect();
            texts.join(&separator.to_string())
        }
    }
}
