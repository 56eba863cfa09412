//! Which variables are still needed after each step.
//!
//! Going through a plan from its end, a variable is *live* after a step when the body's caller asks
//! for it or a later step reads it. Rows carry live variables only. What a step binds and nobody
//! reads becomes a blank, so that the step need not make a row for each of its values; and where a
//! variable ends, rows may become equal, and are merged before a step that would do the same work
//! for each of them. (Early projection; the sets of rows above do not see it.)

use super::{Action, AttributeSlot, Plan, Slot};
use crate::program::{Var, VarSet};

/// Fills in what is live after each step, and which steps merge rows.
pub(super) fn mark(plan: &mut Plan, kept: &[Var]) {
    let mut live: VarSet = kept.iter().copied().collect();
    let mut is_worth_merging = false;
    for step in plan.steps.iter_mut().rev() {
        let (read, bound) = blank_unread(&mut step.action, &live);
        step.live = live.iter().copied().collect();
        step.merges = is_worth_merging;
        for var in bound {
            live.remove(&var);
        }
        live.extend(read);
        is_worth_merging |= !matches!(step.action, Action::Predicate { .. });
    }
    // Rows can only have become equal where a variable ended.
    let mut before: VarSet = plan.start.iter().copied().collect();
    for step in &mut plan.steps {
        let after: VarSet = step.live.iter().copied().collect();
        let makes_equal = step.action.may_repeat() || before.iter().any(|var| !after.contains(var));
        step.merges &= makes_equal;
        before = after;
    }
}

/// Makes blanks of the free positions that nobody reads; the variables that the action reads and
/// those that it still binds.
fn blank_unread(action: &mut Action, live: &VarSet) -> (Vec<Var>, Vec<Var>) {
    let mut slots: Vec<Position<'_>> = action.positions();
    let free: Vec<Var> = slots.iter().filter_map(Position::free).collect();
    let mut bound = Vec::new();
    for var in free.iter().copied() {
        // A variable that occurs twice in a step asks for equality, whoever reads it.
        let occurs_once = free.iter().filter(|other| **other == var).count() == 1;
        if occurs_once && !live.contains(&var) {
            let unread = slots.iter_mut().find(|slot| slot.free() == Some(var));
            unread.expect("it was found there").blank();
        } else {
            bound.push(var);
        }
    }
    (slots.iter().filter_map(Position::bound).collect(), bound)
}

/// A position of an action, of whatever kind.
enum Position<'a> {
    Term(&'a mut Slot),
    Attribute(&'a mut AttributeSlot),
}

impl Position<'_> {
    fn free(&self) -> Option<Var> {
        match self {
            Position::Term(Slot::Free(var)) | Position::Attribute(AttributeSlot::Free(var)) => {
                Some(*var)
            }
            Position::Term(_) | Position::Attribute(_) => None,
        }
    }

    fn bound(&self) -> Option<Var> {
        match self {
            Position::Term(Slot::Bound(var)) | Position::Attribute(AttributeSlot::Bound(var)) => {
                Some(*var)
            }
            Position::Term(_) | Position::Attribute(_) => None,
        }
    }

    fn blank(&mut self) {
        match self {
            Position::Term(slot) => **slot = Slot::Blank,
            Position::Attribute(slot) => **slot = AttributeSlot::Blank,
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self, Position::Term(Slot::Blank) | Position::Attribute(AttributeSlot::Blank))
    }
}

impl Action {
    fn positions(&mut self) -> Vec<Position<'_>> {
        fn terms(slots: &mut [Slot]) -> Vec<Position<'_>> {
            slots.iter_mut().map(Position::Term).collect()
        }
        match self {
            Action::Pattern { entity, attribute, value }
            | Action::Absent { entity, attribute, value } => {
                vec![Position::Term(entity), Position::Attribute(attribute), Position::Term(value)]
            }
            Action::Predicate { args, .. } => terms(args),
            Action::Function { args, out, .. } => {
                args.iter_mut().chain([out]).map(Position::Term).collect()
            }
            Action::Ground { out, .. } => terms(out),
            Action::Missing { entity, attribute } => {
                vec![Position::Term(entity), Position::Attribute(attribute)]
            }
            Action::GetElse { entity, attribute, default, out } => vec![
                Position::Term(entity),
                Position::Attribute(attribute),
                Position::Term(default),
                Position::Term(out),
            ],
            Action::Call(call) => terms(&mut call.args),
        }
    }

    /// Whether a row may be continued twice in the same way, because of a blank.
    fn may_repeat(&mut self) -> bool {
        match self {
            // One attribute tells with a blank only whether there is a fact.
            Action::Pattern { attribute: AttributeSlot::Const(_), .. } => false,
            Action::Absent { .. } | Action::Missing { .. } => false,
            _ => self.positions().iter().any(Position::is_blank),
        }
    }
}
