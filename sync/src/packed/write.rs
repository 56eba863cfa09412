//! From a part to its packed frame.

use std::collections::BTreeMap;

use tercet_engine::fact::{Fact, Install, Kind, Mark};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::value::Value;

use super::column::{Columns, put_varint};
use super::{PACKED, Part, kind, of};
use crate::message::FactsPart;

pub(super) fn frame(part: &FactsPart) -> Vec<u8> {
    let mut writer = Writer::default();
    for install in &part.installs {
        writer.install(install);
    }
    let mut frame = vec![PACKED];
    put_varint(&mut frame, part.instance.0);
    put_varint(&mut frame, part.seq.0);
    frame.push(u8::from(part.reset));
    put_varint(&mut frame, part.installs.len() as u64);
    writer.columns.write(&mut frame);
    frame
}

/// What has been written, and the tables so far.
#[derive(Default)]
struct Writer<'part> {
    columns: Columns,
    entities: BTreeMap<&'part EntityId, u64>,
    entity: Option<&'part EntityId>,
    attributes: BTreeMap<&'part Attribute, u64>,
    replicas: BTreeMap<ReplicaId, u64>,
    stamp: Stamp,
}

impl<'part> Writer<'part> {
    fn install(&mut self, install: &'part Install) {
        match install {
            Install::Fact(fact, Mark { stamp, kind }) => {
                let kind = match kind {
                    Kind::Set => kind::SET,
                    Kind::Add => kind::ADDED,
                };
                self.stamp(*stamp);
                self.fact(kind, fact, stamp.hlc);
            }
            Install::Retracted(fact) => self.fact(kind::RETRACTED, fact, Hlc::ZERO),
            Install::Released(fact) => self.fact(kind::RELEASED, fact, Hlc::ZERO),
            Install::Deleted(entity, stamp) => self.fate(kind::DELETED, entity, *stamp),
            Install::Restored(entity, stamp) => self.fate(kind::RESTORED, entity, *stamp),
        }
    }

    fn fate(&mut self, kind: u8, entity: &'part EntityId, stamp: Stamp) {
        self.columns.byte(Part::Shapes, kind * 8);
        self.entity(entity);
        self.stamp(stamp);
    }

    fn fact(&mut self, kind: u8, fact: &'part Fact, written: Hlc) {
        self.entity(&fact.entity);
        self.attribute(&fact.attribute);
        let value = self.value(&fact.value, written);
        self.columns.byte(Part::Shapes, kind * 8 + value);
    }

    /// 0: that of the install before; 1: a new one, which is number so many of the table; else two
    /// more than its number.
    fn entity(&mut self, entity: &'part EntityId) {
        if self.entity == Some(entity) {
            return self.columns.number(Part::Entities, 0);
        }
        self.entity = Some(entity);
        match self.entities.get(entity) {
            Some(index) => self.columns.number(Part::Entities, index + 2),
            None => {
                self.entities.insert(entity, self.entities.len() as u64);
                self.columns.number(Part::Entities, 1);
                self.columns.text(Part::EntityLengths, Part::EntityTexts, entity.as_str());
            }
        }
    }

    /// 0: a new one; else one more than its number.
    fn attribute(&mut self, attribute: &'part Attribute) {
        match self.attributes.get(attribute) {
            Some(index) => self.columns.number(Part::Attributes, index + 1),
            None => {
                self.attributes.insert(attribute, self.attributes.len() as u64);
                self.columns.number(Part::Attributes, 0);
                let (lengths, texts) = (Part::AttributeLengths, Part::AttributeTexts);
                self.columns.text(lengths, texts, attribute.as_str());
            }
        }
    }

    /// Its type.
    fn value(&mut self, value: &'part Value, written: Hlc) -> u8 {
        match value {
            Value::Boolean(false) => of::FALSE,
            Value::Boolean(true) => of::TRUE,
            Value::Number(number) => match number.as_i64() {
                Some(integer) => {
                    self.columns.signed(Part::Integers, integer);
                    of::INTEGER
                }
                None => {
                    self.columns.bytes(Part::Doubles, &number.to_f64().to_le_bytes());
                    of::DOUBLE
                }
            },
            Value::Date(date) => {
                let written_ms = written.physical_ms().cast_signed();
                self.columns.signed(Part::Dates, date.ms() - written_ms);
                of::DATE
            }
            Value::String(text) => {
                self.columns.text(Part::StringLengths, Part::StringTexts, text);
                of::STRING
            }
            Value::Ref(target) => {
                self.target(target);
                of::REF
            }
        }
    }

    /// 0: an entity that is new; else one more than its number. One table with the entities.
    fn target(&mut self, target: &'part EntityId) {
        match self.entities.get(target) {
            Some(index) => self.columns.number(Part::Refs, index + 1),
            None => {
                self.entities.insert(target, self.entities.len() as u64);
                self.columns.number(Part::Refs, 0);
                self.columns.text(Part::RefLengths, Part::RefTexts, target.as_str());
            }
        }
    }

    /// 0: the HLC of the stamp before, else 1 and how it differs; then how the operation does.
    fn stamp(&mut self, stamp: Stamp) {
        let before = std::mem::replace(&mut self.stamp, stamp);
        self.columns.number(Part::Hlcs, u64::from(before.hlc != stamp.hlc));
        if before.hlc != stamp.hlc {
            let ms = |hlc: Hlc| hlc.physical_ms().cast_signed();
            self.columns.signed(Part::Times, ms(stamp.hlc) - ms(before.hlc));
            self.columns.number(Part::Counters, stamp.hlc.counter().into());
            self.replica(stamp.hlc.replica());
        }
        self.columns.signed(Part::Ops, i64::from(stamp.op) - i64::from(before.op));
    }

    /// 0: a new one; else one more than its number.
    fn replica(&mut self, replica: ReplicaId) {
        match self.replicas.get(&replica) {
            Some(index) => self.columns.number(Part::Replicas, index + 1),
            None => {
                self.replicas.insert(replica, self.replicas.len() as u64);
                self.columns.number(Part::Replicas, 0);
                self.columns.bytes(Part::ReplicaIds, &replica.0.to_le_bytes());
            }
        }
    }
}
