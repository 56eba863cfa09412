//! A caller of HTTP: transactions with an identity, sent again until an answer is heard of.
//!
//! It plays an import whose parts are numbered: one request at a time, the same part again after a
//! while, also one that has been answered. The server stamps what it sends.

use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq};
use tercet_sync::{Identity, RequestId, Rights, TransactAccepted, TransactError};

use super::broken::Invariant;
use super::faults::Kind;
use super::paths::sometimes;
use super::question::{pair_ops, token_op};
use super::witness::Writing;
use super::world::{Event, World};

/// How long an answer may take before the part is sent again.
const PATIENCE_MS: u64 = 2_000;

/// One caller of a tenant.
pub(super) struct Importer {
    tenant: usize,
    /// Whose parts are numbered; another one after a backup was restored.
    n_imports: u64,
    number: ClientSeq,
    part: Option<Part>,
    n_requests: u64,
    /// The last part that was answered.
    answered: Option<(Part, Checkpoint)>,
}

#[derive(Debug, Clone)]
struct Part {
    ops: Vec<Op>,
    token: String,
    /// The request that waits for an answer, and since when.
    asked: Option<(RequestId, u64)>,
}

impl Importer {
    pub(super) fn new(tenant: usize) -> Importer {
        Importer {
            tenant,
            n_imports: 1,
            number: ClientSeq(0),
            part: None,
            n_requests: 0,
            answered: None,
        }
    }

    fn identity(&self, number: ClientSeq) -> Identity {
        let client = ClientId::new(format!("import-{}-{}", self.tenant, self.n_imports));
        Identity { client: client.expect("short"), number }
    }

    /// The history has changed: begins another import.
    pub(super) fn begin_anew(&mut self) {
        self.n_imports += 1;
        self.number = ClientSeq(0);
        (self.part, self.answered) = (None, None);
    }
}

impl World {
    /// The caller does something, and will again.
    pub(super) fn import(&mut self, tenant: usize) {
        if self.healed_at_ms.is_some() && self.apps[tenant].importer.part.is_none() {
            return;
        }
        let app = &mut self.apps[tenant];
        let after_ms = 200 + app.random.below(self.plan.duration_ms as usize / 4) as u64;
        let server = app.owner;
        self.schedule_in(after_ms.min(3_000), Event::Import(tenant));
        if !self.servers[server].is_up || self.servers[server].frozen_until_ms > self.now_ms {
            return;
        }
        let app = &mut self.apps[tenant];
        let is_waiting = app.importer.part.as_ref().and_then(|part| part.asked);
        if is_waiting.is_some_and(|(_, at_ms)| at_ms + PATIENCE_MS > self.now_ms) {
            return;
        }
        let repeats = app.importer.answered.is_some() && app.random.chance(15);
        let (number, ops) = match repeats && app.importer.part.is_none() {
            true => {
                let answered = app.importer.answered.as_ref();
                (
                    app.importer.number,
                    answered.map(|(part, _)| part.ops.clone()).unwrap_or_default(),
                )
            }
            false => self.next_part(tenant),
        };
        let importer = &mut self.apps[tenant].importer;
        importer.n_requests += 1;
        let request = RequestId(importer.n_requests);
        if let Some(part) = &mut importer.part {
            part.asked = Some((request, self.now_ms));
        }
        let identity = Some(importer.identity(number));
        self.host(server, tenant);
        self.with_tenant(server, tenant, |tenant, now_ms| {
            tenant.transact(request, identity, ops, Rights { write: true }, now_ms);
        });
    }

    /// The part that is to be answered next, made if there is none.
    fn next_part(&mut self, tenant: usize) -> (ClientSeq, Vec<Op>) {
        let app = &mut self.apps[tenant];
        let next = app.importer.number.next();
        if app.importer.part.is_none() {
            let token = format!("i:{tenant}:{}:{next}", app.importer.n_imports);
            let mut ops = vec![token_op(&token)];
            ops.extend(app.topic.stream.ops(&mut app.random));
            if app.random.chance(30) {
                ops.extend(pair_ops(app.random.bits() >> 12));
            }
            app.writings.insert(token.clone(), Writing { seen: None, may_repeat: false });
            app.importer.part = Some(Part { ops, token, asked: None });
        }
        let ops = app.importer.part.as_ref().map(|part| part.ops.clone());
        (next, ops.unwrap_or_default())
    }

    /// A request is answered.
    pub(super) fn replied(
        &mut self,
        tenant: usize,
        request: RequestId,
        result: Result<TransactAccepted, TransactError>,
    ) {
        let app = &mut self.apps[tenant];
        let is_of_part = app.importer.part.as_ref().and_then(|part| part.asked);
        let is_of_part = is_of_part.is_some_and(|(asked, _)| asked == request);
        match result {
            Ok(accepted) if is_of_part => {
                let Some(part) = app.importer.part.take() else { return };
                app.importer.number = app.importer.number.next();
                let is_there = app.witness.has_token(&part.token);
                let text = format!("`{}` is acknowledged and not in the log", part.token);
                app.importer.answered = Some((part, accepted.checkpoint));
                if !is_there {
                    self.fail(Invariant::Durable, text);
                }
            }
            Ok(accepted) => {
                sometimes!(self, ImportRepeated);
                let answered = self.apps[tenant].importer.answered.as_ref();
                let first = answered.map(|(_, at)| *at);
                if first.is_some_and(|first| first < accepted.checkpoint) {
                    let text = format!("{first:?} was the answer, now {}", accepted.checkpoint);
                    self.fail(Invariant::ExactlyOnce, text);
                }
            }
            Err(error) if error.code() == "storage_unavailable" => {
                if let Some(part) = app.importer.part.as_mut().filter(|_| is_of_part) {
                    part.asked = None;
                }
            }
            Err(error) if self.plan.faults.has(Kind::Restore) => {
                self.tell(|| format!("the import begins anew: {error}"));
                self.apps[tenant].importer.begin_anew();
            }
            Err(error) => {
                self.fail(Invariant::Refusal, format!("an import: {}: {error}", error.code()));
            }
        }
    }

    /// The server that was asked is gone, and with it the answer.
    pub(super) fn importer_hears_nothing(&mut self, tenant: usize) {
        if let Some(part) = &mut self.apps[tenant].importer.part {
            part.asked = None;
        }
    }

    /// Whether the caller has all answers.
    pub(super) fn is_import_answered(&self, tenant: usize) -> bool {
        self.apps[tenant].importer.part.is_none()
    }
}
