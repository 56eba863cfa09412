//! Rows of rules that recurse, kept and maintained.

use super::delta_plan::Place;
use super::join::{Flow, Machine, Side};
use crate::program::RuleId;

/// The derived rows of one shape.
#[derive(Default)]
pub(super) struct Tables;

impl Tables {
    /// Goes on with each row of a rule that fits.
    pub(super) fn find<'s>(
        &self,
        _rule: RuleId,
        _args: &[Place],
        _at: Side,
        _machine: &mut Machine<'_, 's>,
        _go_on: &mut dyn FnMut(&mut Machine<'_, 's>) -> Flow,
    ) -> Flow {
        unreachable!("shapes with rules that recurse are not maintained yet")
    }
}
