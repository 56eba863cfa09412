//! What an idle subscription occupies: one that needs no more than its parameters.
//!
//! Measured in a process of its own. The facts, all their indexes, the checked queries and the
//! parameters as the subscriber holds them are there before. Loading leaves free memory behind
//! that the process still occupies, in which subscriptions would seem to cost nothing; so the first
//! hundred thousand fill it up, and four times as many after them are measured.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tercet_engine::db::Db;
use tercet_engine::limits::Budget;

use super::route::N_TASKS;
use super::shapes::{FAMILIES, Family, subscriptions};
use super::tasks::{FIELDS, Tasks};
use crate::data::store_of;
use crate::row::{Better, Row};
use crate::store::{measuring_memory, resident_bytes};
use crate::{Context, Scale, Wanted};

/// The id of the row.
pub const IDS: &[&str] = &["live.memory"];

/// How many subscriptions come first, and how many times as many are measured.
const N_SUBSCRIPTIONS: usize = 100_000;
const N_TIMES: usize = 4;

/// What subscriptions occupy.
#[derive(Serialize, Deserialize)]
struct Idle {
    n_subscriptions: usize,
    n_bytes: u64,
}

/// Measures it.
///
/// # Errors
/// When the other process cannot be started, or fails.
pub fn run(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let mut command = measuring_memory()?;
    command.arg("--idle").stdout(Stdio::piped());
    if context.scale == Scale::Small {
        command.arg("--small");
    }
    let output = command.spawn().context("cannot start another process")?.wait_with_output()?;
    ensure!(output.status.success(), "the process that measured memory ended: {}", output.status);
    let idle: Idle = serde_json::from_slice(&output.stdout)?;
    let n_bytes = idle.n_bytes as f64 / idle.n_subscriptions as f64;
    let data = format!("{} subscriptions, distinct parameters", idle.n_subscriptions);
    let row = Row::new(IDS[0], "bytes", n_bytes, data);
    Ok(vec![row.within(300.0, None, Better::Less)])
}

/// Subscribes, and tells on the output what that occupies: the other end of `live.memory`.
///
/// # Errors
/// When something cannot be subscribed, or the system does not tell what is occupied.
pub fn occupy(scale: Scale, output: impl Write) -> Result<()> {
    let mut db = Db::with_store(store_of(&Tasks::new(scale.of(N_TASKS)).ops()));
    let families: Vec<Family> = FAMILIES.into_iter().filter(|family| family.is_plain()).collect();
    let n_kinds = families.len() * FIELDS.len();
    let n_first = scale.of(N_SUBSCRIPTIONS).div_ceil(n_kinds);
    let n_each = n_first * (1 + N_TIMES);
    let all = subscriptions(&families, n_each)?;
    let budget = Budget::unlimited();
    for (query, inputs) in all.iter().step_by(n_each) {
        query.run(&db.snapshot(), inputs, &budget)?;
    }
    let of_kinds = || all.chunks(n_each);
    for (query, inputs) in of_kinds().flat_map(|kind| &kind[..n_first]) {
        db.subscribe(query, inputs, &budget)?;
    }
    let (before, n_subscriptions) = (resident_bytes()?, n_kinds * (n_each - n_first));
    for (query, inputs) in of_kinds().flat_map(|kind| &kind[n_first..]) {
        db.subscribe(query, inputs, &budget)?;
    }
    let n_bytes = resident_bytes()?.saturating_sub(before);
    Ok(serde_json::to_writer(output, &Idle { n_subscriptions, n_bytes })?)
}
