//! From a packed frame to its part. What it says is believed as far as it fits together: ids and
//! values are checked like all that comes from outside.

use std::str;

use tercet_engine::fact::{Fact, Install, Kind, Mark};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId, Seq};
use tercet_engine::value::{Date, Value};

use super::column::{Inflated, PackedError, Reader};
use super::{N_COLUMNS, Part, kind, of};
use crate::message::{FactsPart, InstanceId};

pub(super) fn part(bytes: &[u8]) -> Result<FactsPart, PackedError> {
    let mut reader = Reader(bytes);
    let (instance, seq) = (InstanceId(reader.number()?), Seq(reader.number()?));
    let reset = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(PackedError("a flag is neither 0 nor 1")),
    };
    let n_installs = reader.length()?;
    let inflated = Inflated::read(&mut reader)?;
    let columns = inflated.readers();
    // Every install has a byte there, so that no number asks for more memory than came.
    if columns[Part::Shapes as usize].0.len() != n_installs {
        return Err(PackedError("it has another number of installs than it says"));
    }
    let (entities, attributes, replicas) = Default::default();
    let mut tables =
        Tables { columns, entities, entity: None, attributes, replicas, stamp: Stamp::ZERO };
    let installs = (0..n_installs).map(|_| tables.install()).collect::<Result<_, _>>()?;
    if tables.columns.iter().any(|column| !column.0.is_empty()) {
        return Err(PackedError("a column has more than its installs use"));
    }
    Ok(FactsPart { instance, seq, reset, installs })
}

struct Tables<'frame> {
    columns: [Reader<'frame>; N_COLUMNS],
    entities: Vec<EntityId>,
    entity: Option<EntityId>,
    attributes: Vec<Attribute>,
    replicas: Vec<ReplicaId>,
    stamp: Stamp,
}

impl<'frame> Tables<'frame> {
    fn column(&mut self, part: Part) -> &mut Reader<'frame> {
        &mut self.columns[part as usize]
    }

    fn text(&mut self, lengths: Part, texts: Part) -> Result<&'frame str, PackedError> {
        let n_bytes = self.column(lengths).length()?;
        let bytes = self.column(texts).bytes(n_bytes)?;
        str::from_utf8(bytes).map_err(|_| PackedError("a text is not UTF-8"))
    }

    fn install(&mut self) -> Result<Install, PackedError> {
        let shape = self.column(Part::Shapes).byte()?;
        let (kind, value) = (shape / 8, shape % 8);
        Ok(match kind {
            kind::SET | kind::ADDED => {
                let stamp = self.stamp()?;
                let kind = if kind == kind::SET { Kind::Set } else { Kind::Add };
                Install::Fact(self.fact(value, stamp.hlc)?, Mark { stamp, kind })
            }
            kind::RETRACTED => Install::Retracted(self.fact(value, Hlc::ZERO)?),
            kind::RELEASED => Install::Released(self.fact(value, Hlc::ZERO)?),
            kind::DELETED | kind::RESTORED if value == 0 => {
                let (entity, stamp) = (self.entity()?, self.stamp()?);
                match kind {
                    kind::DELETED => Install::Deleted(entity, stamp),
                    _ => Install::Restored(entity, stamp),
                }
            }
            _ => return Err(PackedError("an install is of no known kind")),
        })
    }

    fn fact(&mut self, value: u8, written: Hlc) -> Result<Fact, PackedError> {
        let (entity, attribute) = (self.entity()?, self.attribute()?);
        Ok(Fact { entity, attribute, value: self.value(value, written)? })
    }

    fn entity(&mut self) -> Result<EntityId, PackedError> {
        let entity = match self.column(Part::Entities).number()? {
            0 => return self.entity.clone().ok_or(PackedError("there is no entity before")),
            1 => self.new_entity(Part::EntityLengths, Part::EntityTexts)?,
            index => known(&self.entities, index - 2)?,
        };
        self.entity = Some(entity.clone());
        Ok(entity)
    }

    fn new_entity(&mut self, lengths: Part, texts: Part) -> Result<EntityId, PackedError> {
        let text = self.text(lengths, texts)?;
        let entity = EntityId::new(text).map_err(|_| PackedError("an entity id is none"))?;
        self.entities.push(entity.clone());
        Ok(entity)
    }

    fn attribute(&mut self) -> Result<Attribute, PackedError> {
        let index = self.column(Part::Attributes).number()?;
        if let Some(index) = index.checked_sub(1) {
            return known(&self.attributes, index);
        }
        let text = self.text(Part::AttributeLengths, Part::AttributeTexts)?;
        let attribute = Attribute::new(text).map_err(|_| PackedError("an attribute is none"))?;
        self.attributes.push(attribute.clone());
        Ok(attribute)
    }

    fn value(&mut self, value: u8, written: Hlc) -> Result<Value, PackedError> {
        Ok(match value {
            of::FALSE => Value::Boolean(false),
            of::TRUE => Value::Boolean(true),
            of::INTEGER => Value::int(self.column(Part::Integers).signed()?),
            of::DOUBLE => {
                let bytes = self.column(Part::Doubles).bytes(8)?;
                let double = f64::from_le_bytes(bytes.try_into().expect("eight were asked for"));
                Value::double(double).map_err(|_| PackedError("a double is not finite"))?
            }
            of::DATE => {
                let after_ms = self.column(Part::Dates).signed()?;
                let ms = written.physical_ms().cast_signed().checked_add(after_ms);
                let date = ms.and_then(|ms| Date::from_ms(ms).ok());
                Value::Date(date.ok_or(PackedError("a date is none"))?)
            }
            of::STRING => Value::from(self.text(Part::StringLengths, Part::StringTexts)?),
            of::REF => {
                let index = self.column(Part::Refs).number()?;
                Value::Ref(match index.checked_sub(1) {
                    Some(index) => known(&self.entities, index)?,
                    None => self.new_entity(Part::RefLengths, Part::RefTexts)?,
                })
            }
            _ => return Err(PackedError("a value is of no known type")),
        })
    }

    fn stamp(&mut self) -> Result<Stamp, PackedError> {
        let hlc = match self.column(Part::Hlcs).byte()? {
            0 => self.stamp.hlc,
            1 => self.new_hlc()?,
            _ => return Err(PackedError("a flag is neither 0 nor 1")),
        };
        let after = self.column(Part::Ops).signed()?;
        let op = i64::from(self.stamp.op).checked_add(after).and_then(|op| u16::try_from(op).ok());
        self.stamp = Stamp { hlc, op: op.ok_or(PackedError("an operation has no such number"))? };
        Ok(self.stamp)
    }

    fn new_hlc(&mut self) -> Result<Hlc, PackedError> {
        let after_ms = self.column(Part::Times).signed()?;
        let ms = self.stamp.hlc.physical_ms().checked_add_signed(after_ms);
        let ms =
            ms.filter(|ms| *ms < 1 << 48).ok_or(PackedError("a time has more than 48 bits"))?;
        let counter = u16::try_from(self.column(Part::Counters).number()?)
            .map_err(|_| PackedError("a counter has more than 16 bits"))?;
        Ok(Hlc::new(ms, counter, self.replica()?))
    }

    fn replica(&mut self) -> Result<ReplicaId, PackedError> {
        let index = self.column(Part::Replicas).number()?;
        if let Some(index) = index.checked_sub(1) {
            return known(&self.replicas, index);
        }
        let bytes = self.column(Part::ReplicaIds).bytes(8)?;
        let number = u64::from_le_bytes(bytes.try_into().expect("eight were asked for"));
        self.replicas.push(ReplicaId(number));
        Ok(ReplicaId(number))
    }
}

/// What the table has under a number.
fn known<Id: Clone>(table: &[Id], index: u64) -> Result<Id, PackedError> {
    let found = usize::try_from(index).ok().and_then(|index| table.get(index));
    found.cloned().ok_or(PackedError("a table has no such number"))
}
