//! Which pulled entities a changed fact may show in.
//!
//! A fact shows in the tree of its own entity, or of its value where the pattern looks backwards;
//! that tree may be part of another one, whose entity is found by following the pattern upwards,
//! on both sides of the step. This may find too many, never too few: trees are compared.

use std::collections::{BTreeMap, BTreeSet};

use super::join::States;
use super::maintain::FactDelta;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::program::raw::{PullId, RawProgram, RawPullItem, RawPullNested};
use crate::program::{FindElement, Program, Var};
use crate::store::{AttributeId, Snapshot};

/// The most entities that are followed upwards in one step.
const ENTITIES_MAX: usize = 10_000;

/// How a pattern is reached from another one.
#[derive(Debug, Clone)]
struct Above {
    pattern: PullId,
    attribute: Attribute,
    reverse: bool,
}

/// The patterns of a query's `pull` expressions.
pub(super) struct Pulls {
    /// Patterns that read facts of an attribute, and whether backwards.
    by_attribute: BTreeMap<Attribute, Vec<(PullId, bool)>>,
    /// Patterns that read all facts of their entity.
    wildcards: Vec<PullId>,
    above: BTreeMap<PullId, Vec<Above>>,
    /// The pattern of each pulled variable.
    roots: Vec<(PullId, Var)>,
}

impl Pulls {
    /// None where nothing is pulled.
    pub(super) fn new(program: &Program) -> Option<Pulls> {
        let roots = program.find.iter().filter_map(|element| match element {
            FindElement::Pull { var, pattern } => Some((*pattern, *var)),
            _ => None,
        });
        let roots: Vec<(PullId, Var)> = roots.collect();
        if roots.is_empty() {
            return None;
        }
        let mut pulls = Pulls {
            by_attribute: BTreeMap::new(),
            wildcards: Vec::new(),
            above: BTreeMap::new(),
            roots,
        };
        for index in 0..program.raw.pulls.len() as u32 {
            pulls.read(&program.raw, PullId(index));
        }
        Some(pulls)
    }

    fn read(&mut self, raw: &RawProgram, pattern: PullId) {
        for item in &raw.pulls[pattern.0 as usize].items {
            let RawPullItem::Attribute { attribute, reverse, nested, .. } = item else {
                self.wildcards.push(pattern);
                continue;
            };
            let Ok(attribute) = Attribute::new(attribute.shared().clone()) else { continue };
            let readers = self.by_attribute.entry(attribute.clone()).or_default();
            readers.push((pattern, *reverse));
            let below = match nested {
                RawPullNested::No => continue,
                RawPullNested::Pattern(below) => *below,
                RawPullNested::Recursion(_) => pattern,
            };
            let above = Above { pattern, attribute, reverse: *reverse };
            self.above.entry(below).or_default().push(above);
        }
    }

    /// The attributes that are read; none when those of every attribute are.
    pub(super) fn attributes(&self) -> Option<impl Iterator<Item = &Attribute>> {
        self.wildcards.is_empty().then(|| self.by_attribute.keys())
    }

    /// The pulled variables and the entities whose trees may differ; none where there are too many.
    pub(super) fn roots<'c>(
        &self,
        changes: impl Iterator<Item = &'c FactDelta>,
        attribute_of: impl Fn(&FactDelta) -> Attribute,
        states: &States<'_>,
    ) -> Option<BTreeSet<(Var, Cell)>> {
        let mut met: BTreeSet<(PullId, Cell)> = BTreeSet::new();
        let mut waiting = Vec::new();
        let mut meet = |place: (PullId, Cell), waiting: &mut Vec<(PullId, Cell)>| {
            if place.1.is_ref() && met.insert(place) {
                waiting.push(place);
            }
            met.len() <= ENTITIES_MAX
        };
        for change in changes {
            let readers = self.by_attribute.get(&attribute_of(change));
            for (pattern, reverse) in readers.into_iter().flatten() {
                let entity = if *reverse { change.value } else { change.entity };
                meet((*pattern, entity), &mut waiting).then_some(())?;
            }
            for pattern in &self.wildcards {
                meet((*pattern, change.entity), &mut waiting).then_some(())?;
            }
        }
        let mut roots = BTreeSet::new();
        while let Some((pattern, entity)) = waiting.pop() {
            let of_pattern = self.roots.iter().filter(|(root, _)| *root == pattern);
            roots.extend(of_pattern.map(|(_, var)| (*var, entity)));
            for above in self.above.get(&pattern).into_iter().flatten() {
                for snapshot in states.snapshots {
                    let Some(id) = snapshot.find_attribute(&above.attribute) else { continue };
                    for entity in parents(snapshot, id, entity, above.reverse) {
                        meet((above.pattern, entity), &mut waiting).then_some(())?;
                    }
                }
            }
        }
        Some(roots)
    }
}

/// The entities in whose tree an entity is shown.
fn parents(snapshot: &Snapshot, id: AttributeId, entity: Cell, reverse: bool) -> Vec<Cell> {
    if reverse {
        snapshot.values(id, entity).collect()
    } else {
        snapshot.entities(id, entity).collect()
    }
}
