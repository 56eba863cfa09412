//! About how many bytes things take on the wire: what cuts frames and bounds queues and rings.
//!
//! A rough count, made without encoding: texts and values by their length, what stands around them
//! by a constant. Invariant: it grows with the thing, and is never 0 for something.

use tercet_engine::fact::{Fact, Install};

use crate::message::ServerMessage;
use crate::wire_row::{WireOutput, WireRow};

/// What a message or an install takes besides its texts.
const AROUND_BYTES: usize = 32;

/// What an output takes besides its texts.
const OUTPUT_BYTES: usize = 4;

/// Of an install.
pub(crate) fn install_bytes(install: &Install) -> usize {
    let fact_bytes = |fact: &Fact| {
        fact.entity.as_str().len() + fact.attribute.as_str().len() + fact.value.n_bytes()
    };
    AROUND_BYTES
        + match install {
            Install::Fact(fact, _) | Install::Retracted(fact) | Install::Released(fact) => {
                fact_bytes(fact)
            }
            Install::Deleted(entity, _) | Install::Restored(entity, _) => entity.as_str().len(),
        }
}

/// Of the texts of an output.
pub(crate) fn text_bytes(output: &WireOutput) -> usize {
    match output {
        WireOutput::Value(value) => value.n_bytes(),
        WireOutput::List(values) => values.iter().map(|value| value.n_bytes() + 8).sum(),
        WireOutput::Tree(text) => text.len(),
    }
}

/// Of a row.
pub(crate) fn row_bytes(row: &WireRow) -> usize {
    1 + row.iter().map(|output| OUTPUT_BYTES + text_bytes(output)).sum::<usize>()
}

/// Of a message.
pub(crate) fn message_bytes(message: &ServerMessage) -> usize {
    AROUND_BYTES
        + match message {
            ServerMessage::FactsPart(part) => part.installs.iter().map(install_bytes).sum(),
            ServerMessage::RowsPart(part) => {
                part.added.iter().chain(&part.removed).map(row_bytes).sum()
            }
            ServerMessage::Ack(ack) => ack.effects.len() * AROUND_BYTES,
            ServerMessage::Subscribed(subscribed) => {
                let texts = subscribed.columns.iter().chain(&subscribed.warnings);
                texts.map(|text| text.len() + OUTPUT_BYTES).sum()
            }
            ServerMessage::Reject(reject) => reject.message.len(),
            ServerMessage::Refused(refused) => refused.message.len(),
            ServerMessage::Stale(stale) => stale.message.len(),
            ServerMessage::Error(error) => error.message.len(),
            ServerMessage::Resync(resync) => resync.reason.len(),
            ServerMessage::Welcome(_)
            | ServerMessage::Marker(_)
            | ServerMessage::Ping(_)
            | ServerMessage::Pong(_)
            | ServerMessage::Compare(_) => AROUND_BYTES,
        }
}
