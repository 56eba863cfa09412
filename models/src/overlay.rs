//! The overlay: pending writes folded over what is confirmed; rejected, refused, stamped anew.
//!
//! A client with a clock that is ahead writes to two fields while another one writes too; the
//! server rejects some of its transactions, refuses those whose stamp is too far ahead, and
//! confirms the others in its own time. Properties: the view is the fold of what is pending over
//! what is confirmed; stamps rise with numbers; a removal covers the write it saw also after both
//! got new stamps; in the end client and server show the same, without what was rejected.

use stateright::{Model, Property};

const N_WRITES: u8 = 4;
const N_FIELDS: usize = 2;
const N_FOREIGN: u8 = 2;
/// Stamps beyond this are too far ahead.
const AHEAD_MAX: u8 = 40;
/// Where a clock that is wrong begins.
const WRONG_CLOCK: u8 = 60;

/// Ways to get it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// A rejection writes back what was there before.
    RejectionUndoes,
    /// A rejection takes what was written later with it.
    RejectionTakesLater,
    /// A rejected write stays in the view.
    RejectionStays,
    /// Only the refused transaction gets a new stamp.
    RestampsOne,
    /// Covers keep the old stamp.
    CoverKeepsStamp,
    /// An accepted write leaves before what it brings has come.
    LeavesAtAnswer,
}

impl Mutant {
    pub(crate) const ALL: &[Mutant] = &[
        Mutant::RejectionUndoes,
        Mutant::RejectionTakesLater,
        Mutant::RejectionStays,
        Mutant::RestampsOne,
        Mutant::CoverKeepsStamp,
        Mutant::LeavesAtAnswer,
    ];
}

/// What a transaction does to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// The last write wins.
    Set { field: u8, value: u8 },
    /// Takes the value away that was written under this stamp, and nothing later.
    Clear { field: u8, covers: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    number: u8,
    stamp: u8,
    op: Op,
    is_bad: bool,
}

/// Stamp, value and cleared stamp of each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Field {
    stamp: u8,
    value: u8,
    cleared: u8,
}

type Fields = [Field; N_FIELDS];

fn merge(fields: &mut Fields, stamp: u8, op: Op) {
    match op {
        Op::Set { field, value } => {
            let field = &mut fields[usize::from(field)];
            if stamp > field.stamp {
                (field.stamp, field.value) = (stamp, value);
            }
        }
        Op::Clear { field, covers } => {
            let field = &mut fields[usize::from(field)];
            field.cleared = field.cleared.max(covers);
        }
    }
}

fn shown(fields: &Fields) -> [Option<u8>; N_FIELDS] {
    fields.map(|field| (field.stamp > field.cleared).then_some(field.value))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct State {
    confirmed: Fields,
    pending: Vec<Transaction>,
    /// What is shown; kept up, not folded at every look.
    view: Fields,
    clock: u8,
    is_clock_right: bool,
    n_written: u8,
    n_foreign: u8,
    /// How many transactions are on their way, from the first pending one on.
    n_sent: u8,
    server: Fields,
    server_clock: u8,
    /// What the server has said, in order.
    said: Vec<Said>,
    rejected: Vec<u8>,
    /// The stamp of each accepted transaction, in order.
    accepted: Vec<(u8, u8)>,
    /// Of each clearing: the number of the write that it saw.
    saw: Vec<(u8, u8)>,
    has_lost_cover: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    /// All fields as they are, and the greatest stamp.
    Facts(Fields, u8),
    Accepted(u8),
    Rejected(u8),
    Refused(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write {
        field: u8,
        is_bad: bool,
    },
    Clear {
        field: u8,
    },
    Foreign {
        field: u8,
    },
    Send,
    /// The server takes the transaction that was sent first.
    Take,
    Hear,
}

/// The model.
pub(crate) struct Overlay {
    mutant: Option<Mutant>,
}

impl Overlay {
    pub(crate) fn new(mutant: Option<Mutant>) -> Overlay {
        Overlay { mutant }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn write(&self, state: &mut State, op: Op, is_bad: bool) {
        state.n_written += 1;
        state.clock = state.clock.max(if state.is_clock_right { 0 } else { WRONG_CLOCK }) + 1;
        let (number, stamp) = (state.n_written, state.clock);
        state.pending.push(Transaction { number, stamp, op, is_bad });
        merge(&mut state.view, stamp, op);
    }

    fn take(&self, state: &mut State) -> Option<()> {
        // What is not answered yet of what was sent, in order.
        let answered = state.said.iter().filter_map(|said| match said {
            Said::Accepted(number) | Said::Rejected(number) => Some(*number),
            _ => None,
        });
        let last = answered.max().unwrap_or(0);
        let sent = state.pending.iter().take(state.n_sent.into());
        let next = *sent.into_iter().find(|it| it.number > last)?;
        if state.said.iter().any(|said| matches!(said, Said::Refused(_))) {
            return None;
        }
        if next.stamp > AHEAD_MAX.max(state.server_clock) {
            state.said.push(Said::Refused(next.number));
            return Some(());
        }
        if next.is_bad {
            state.said.push(Said::Rejected(next.number));
            return Some(());
        }
        merge(&mut state.server, next.stamp, next.op);
        state.server_clock = state.server_clock.max(next.stamp);
        state.accepted.push((next.number, next.stamp));
        if let Op::Clear { covers, .. } = next.op {
            let saw = state.saw.iter().find(|(number, _)| *number == next.number);
            let is_kept = saw.is_none_or(|(_, seen)| {
                let accepted = state.accepted.iter().find(|(number, _)| number == seen);
                accepted.is_none_or(|(_, stamp)| *stamp == covers)
            });
            state.has_lost_cover |= !is_kept;
        }
        if self.is(Mutant::LeavesAtAnswer) {
            state.said.push(Said::Accepted(next.number));
            state.said.push(Said::Facts(state.server, state.server_clock));
        } else {
            state.said.push(Said::Facts(state.server, state.server_clock));
            state.said.push(Said::Accepted(next.number));
        }
        Some(())
    }

    fn hear(&self, state: &mut State) {
        match state.said.remove(0) {
            Said::Facts(fields, clock) => {
                state.confirmed = fields;
                state.clock = state.clock.max(clock);
                Overlay::fold(state);
            }
            Said::Accepted(number) => {
                state.pending.retain(|it| it.number != number);
                state.n_sent = state.n_sent.saturating_sub(1);
                Overlay::fold(state);
            }
            Said::Rejected(number) => self.reject(state, number),
            Said::Refused(from) => self.restamp(state, from),
        }
    }

    fn reject(&self, state: &mut State, number: u8) {
        state.rejected.push(number);
        let Some(index) = state.pending.iter().position(|it| it.number == number) else { return };
        let rejected = state.pending.remove(index);
        state.n_sent = state.n_sent.saturating_sub(1);
        if self.is(Mutant::RejectionTakesLater) {
            state.pending.truncate(index);
            state.n_sent = state.n_sent.min(index as u8);
        }
        match rejected.op {
            Op::Set { field, .. } if self.is(Mutant::RejectionUndoes) => {
                state.view[usize::from(field)] = state.confirmed[usize::from(field)];
            }
            _ if self.is(Mutant::RejectionStays) => {}
            _ => Overlay::fold(state),
        }
    }

    fn restamp(&self, state: &mut State, from: u8) {
        state.is_clock_right = true;
        let before = state.pending.iter().filter(|it| it.number < from).map(|it| it.stamp).max();
        state.clock = state.server_clock.max(before.unwrap_or(0));
        state.n_sent = state.pending.iter().take_while(|it| it.number < from).count() as u8;
        let mut moved: Vec<(u8, u8)> = Vec::new();
        for transaction in state.pending.iter_mut().filter(|it| it.number >= from) {
            if self.is(Mutant::RestampsOne) && !moved.is_empty() {
                break;
            }
            state.clock += 1;
            moved.push((transaction.stamp, state.clock));
            transaction.stamp = state.clock;
            if let Op::Clear { covers, .. } = &mut transaction.op
                && !self.is(Mutant::CoverKeepsStamp)
                && let Some((_, new)) = moved.iter().find(|(old, _)| old == covers)
            {
                *covers = *new;
            }
        }
        Overlay::fold(state);
    }

    fn folded(state: &State) -> Fields {
        let mut view = state.confirmed;
        for transaction in &state.pending {
            merge(&mut view, transaction.stamp, transaction.op);
        }
        view
    }

    fn fold(state: &mut State) {
        state.view = Overlay::folded(state);
    }
}

impl Model for Overlay {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let right = State { is_clock_right: true, server_clock: 1, ..State::default() };
        vec![State { is_clock_right: false, ..right.clone() }, right]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for field in 0..N_FIELDS as u8 {
            if state.n_written < N_WRITES {
                actions.push(Action::Write { field, is_bad: false });
                actions.push(Action::Write { field, is_bad: true });
                actions.push(Action::Clear { field });
            }
            if state.n_foreign < N_FOREIGN {
                actions.push(Action::Foreign { field });
            }
        }
        if usize::from(state.n_sent) < state.pending.len() {
            actions.push(Action::Send);
        }
        if state.n_sent > 0 {
            actions.push(Action::Take);
        }
        if !state.said.is_empty() {
            actions.push(Action::Hear);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Write { field, is_bad } => {
                let value = state.n_written + 1;
                self.write(&mut state, Op::Set { field, value }, is_bad);
            }
            Action::Clear { field } => {
                let seen = state.view[usize::from(field)];
                let own = state.pending.iter().find(|it| it.stamp == seen.stamp);
                if seen.stamp == 0 {
                    return None;
                }
                let own = own.map(|own| own.number);
                state.saw.extend(own.map(|own| (state.n_written + 1, own)));
                self.write(&mut state, Op::Clear { field, covers: seen.stamp }, false);
            }
            Action::Foreign { field } => {
                state.n_foreign += 1;
                state.server_clock += 1;
                let value = 100 + state.n_foreign;
                let stamp = state.server_clock;
                merge(&mut state.server, stamp, Op::Set { field, value });
                state.said.push(Said::Facts(state.server, state.server_clock));
            }
            Action::Send => state.n_sent += 1,
            Action::Take => self.take(&mut state)?,
            Action::Hear => self.hear(&mut state),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the view is the fold", |_, state: &State| {
                state.view == Overlay::folded(state)
            }),
            Property::always("stamps rise with numbers", |_, state: &State| {
                let pending = state.pending.iter().map(|it| (it.number, it.stamp));
                let later = pending.filter(|(number, _)| {
                    state.accepted.iter().all(|(accepted, _)| accepted < number)
                });
                let all: Vec<(u8, u8)> = state.accepted.iter().copied().chain(later).collect();
                all.is_sorted_by(|one, other| one.1 < other.1)
            }),
            Property::always("a clearing covers the write it saw", |_, state: &State| {
                !state.has_lost_cover
            }),
            Property::always(
                "what is written is pending, rejected or accepted",
                |_, state: &State| {
                    (1..=state.n_written).all(|number| {
                        state.pending.iter().any(|it| it.number == number)
                            || state.rejected.contains(&number)
                            || state.accepted.iter().any(|(accepted, _)| *accepted == number)
                    })
                },
            ),
            Property::always("an own write does not disappear", |_, state: &State| {
                // What the server has accepted and not told yet is still pending here.
                state.accepted.iter().all(|(number, stamp)| {
                    let is_pending = state.pending.iter().any(|it| it.number == *number);
                    let is_confirmed = state.confirmed.iter().any(|it| it.stamp >= *stamp)
                        || state.confirmed.iter().any(|it| it.cleared > 0);
                    is_pending || is_confirmed
                })
            }),
            Property::always("in the end both show the same", |_, state: &State| {
                let is_over = state.pending.is_empty() && state.said.is_empty();
                !is_over || shown(&state.view) == shown(&state.server)
            }),
            Property::sometimes(
                "all is answered after a refusal and a rejection",
                |_, state: &State| {
                    let was_wrong = state.is_clock_right && !state.rejected.is_empty();
                    was_wrong && state.pending.is_empty() && state.accepted.len() == 3
                },
            ),
        ]
    }
}
