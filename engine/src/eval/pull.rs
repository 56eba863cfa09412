//! Pull: a tree of one entity's facts, by a pattern.
//!
//! A field written by `set` is shown as a value, one written by `add` as a list (both: a list), a
//! reverse reference as a list of entities; lists are in order of their values. A field without a
//! value is left out unless the pattern has a default. `:db/id` is the entity itself, whoever may
//! have written an attribute of that name. `*` is every attribute and, of an entity that has any,
//! its id under `db/id`. Recursion leaves the attribute out below its depth, shows an entity that is on
//! the path already by its id alone, and is refused beyond [`DEPTH_MAX`] levels, because what reads
//! the tree recurses too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Evaluator;
use super::meter::{Doing, Meter};
use super::reads::{Key, Recorder};
use super::scratch::Scratch;
use crate::answer::{Branch, Tree};
use crate::error::QueryError;
use crate::fact::Kind;
use crate::ids::{Attribute, EntityId, Name};
use crate::intern::Cell;
use crate::program::raw::{PullId, RawProgram, RawPullItem, RawPullNested};
use crate::store::{AttributeId, Snapshot};
use crate::value::Value;

/// The deepest tree a pull makes.
pub(crate) const DEPTH_MAX: usize = 50;

/// What a tree takes besides its leaves: a map's smallest node has room for eleven branches.
const TREE_BYTES: u64 = 11 * (size_of::<Arc<str>>() + size_of::<Branch>()) as u64;

/// The key of an entity's own id.
const ID_KEY: &str = "db/id";

/// Where a pull is: the pattern, and the entities above.
struct Path<'p> {
    raw: &'p RawProgram,
    pattern: PullId,
    entities: Vec<Cell>,
    /// Levels left for the items of the pattern that have recursed to here with a depth.
    levels_left: BTreeMap<usize, u64>,
}

/// What was found of one attribute.
struct Field {
    values: Vec<Cell>,
    is_list: bool,
}

impl Evaluator<'_> {
    /// The tree of an entity.
    pub(super) fn pull(
        &mut self,
        raw: &RawProgram,
        pattern: PullId,
        entity: &EntityId,
    ) -> Result<Tree, QueryError> {
        self.meter.doing = Doing::Pull(pattern);
        let entity = self.scratch.cell(&Value::Ref(entity.clone()));
        let (snapshot, scratch) = (self.snapshot, &self.scratch);
        let (meter, reads) = (&mut self.meter, self.reads.as_mut());
        Puller { snapshot, scratch, meter, reads }.pull(raw, pattern, entity)
    }
}

/// Reads trees of a snapshot.
pub(crate) struct Puller<'p, 's> {
    pub(crate) snapshot: &'p Snapshot,
    pub(crate) scratch: &'p Scratch<'s>,
    pub(crate) meter: &'p mut Meter,
    /// What was read, where somebody wants to know.
    pub(crate) reads: Option<&'p mut Recorder>,
}

impl Puller<'_, '_> {
    /// The tree of an entity.
    pub(crate) fn pull(
        &mut self,
        raw: &RawProgram,
        pattern: PullId,
        entity: Cell,
    ) -> Result<Tree, QueryError> {
        let mut path = Path { raw, pattern, entities: Vec::new(), levels_left: BTreeMap::new() };
        self.tree(&mut path, entity)
    }

    fn tree(&mut self, path: &mut Path<'_>, entity: Cell) -> Result<Tree, QueryError> {
        if path.entities.len() >= DEPTH_MAX {
            let (limit, hint) = (format!("{DEPTH_MAX} levels"), "give the recursion a depth");
            return Err(QueryError::over(limit, self.meter.work, hint));
        }
        self.meter.hold(TREE_BYTES)?;
        self.meter.made_row()?;
        path.entities.push(entity);
        let items = &path.raw.pulls[path.pattern.0 as usize].items;
        let mut tree = Tree::default();
        if items.contains(&RawPullItem::Wildcard) {
            self.wildcard(entity, &mut tree)?; // What is asked for by name replaces it.
        }
        for (index, item) in items.iter().enumerate() {
            match item {
                RawPullItem::Wildcard => {}
                RawPullItem::Attribute { attribute, reverse, rename, limit, default, nested } => {
                    let key = rename.as_ref().map_or_else(
                        || key_of(attribute, *reverse),
                        |rename| rename.shared().clone(),
                    );
                    if path.levels_left.get(&index) == Some(&0) {
                        continue;
                    }
                    if attribute.as_str() == ID_KEY && !reverse {
                        tree.0.insert(key, self.leaf(entity)?);
                        continue;
                    }
                    let mut field = self.pulled_field(entity, attribute, *reverse)?;
                    if let Some(limit) = limit {
                        field.values.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                    }
                    let branch = if field.values.is_empty() {
                        default.clone().map(Branch::Value)
                    } else {
                        Some(self.branch(path, index, &field, *nested)?)
                    };
                    tree.0.extend(branch.map(|branch| (key, branch)));
                }
            }
        }
        path.entities.pop();
        Ok(tree)
    }

    fn wildcard(&mut self, entity: Cell, tree: &mut Tree) -> Result<(), QueryError> {
        if let Some(reads) = &mut self.reads {
            reads.record_any(Key::Entity(entity), self.scratch);
        }
        for id in self.snapshot.attributes() {
            let field = self.field_of(id, entity)?;
            if field.values.is_empty() {
                continue;
            }
            let values = field.values.iter();
            let mut branches =
                values.map(|cell| self.leaf(*cell)).collect::<Result<Vec<Branch>, QueryError>>()?;
            let branch = if field.is_list { Branch::List(branches) } else { branches.remove(0) };
            tree.0.insert(self.snapshot.attribute(id).shared().clone(), branch);
        }
        if !tree.0.is_empty() {
            tree.0.insert(Arc::from(ID_KEY), Branch::Value(self.scratch.value(entity)));
        }
        Ok(())
    }

    fn pulled_field(
        &mut self,
        entity: Cell,
        attribute: &Name,
        reverse: bool,
    ) -> Result<Field, QueryError> {
        let attribute = Attribute::new(attribute.shared().clone());
        let attribute = attribute.expect("the attributes of a checked program are valid");
        let Some(id) = self.snapshot.find_attribute(&attribute) else {
            if let Some(reads) = &mut self.reads {
                reads.record_unknown(&attribute);
            }
            return Ok(Field { values: Vec::new(), is_list: false });
        };
        if !reverse {
            self.record(id, Key::Entity(entity));
            return self.field_of(id, entity);
        }
        self.record(id, Key::Value(entity));
        let mut values: Vec<Cell> = Vec::new();
        for value in self.snapshot.entities(id, entity) {
            values.push(value);
            self.meter.read_facts(1)?;
        }
        values.sort_unstable_by(|a, b| self.scratch.compare(*a, *b));
        Ok(Field { values, is_list: true })
    }

    fn record(&mut self, id: AttributeId, key: Key) {
        if let Some(reads) = &mut self.reads {
            reads.record(id, key, self.scratch);
        }
    }

    fn field_of(&mut self, id: AttributeId, entity: Cell) -> Result<Field, QueryError> {
        let found = self.snapshot.marked_values(id, entity);
        let (mut values, mut is_list) = (Vec::new(), false);
        for (value, mark) in found {
            is_list |= mark.kind == Kind::Add || !values.is_empty();
            values.push(value);
            self.meter.read_facts(1)?;
        }
        values.sort_unstable_by(|a, b| self.scratch.compare(*a, *b));
        Ok(Field { values, is_list })
    }

    fn branch(
        &mut self,
        path: &mut Path<'_>,
        item: usize,
        field: &Field,
        nested: RawPullNested,
    ) -> Result<Branch, QueryError> {
        let mut branches = Vec::with_capacity(field.values.len());
        for value in &field.values {
            branches.push(self.nested(path, item, *value, nested)?);
        }
        Ok(if field.is_list { Branch::List(branches) } else { branches.remove(0) })
    }

    /// What is shown for one value.
    fn nested(
        &mut self,
        path: &mut Path<'_>,
        item: usize,
        value: Cell,
        nested: RawPullNested,
    ) -> Result<Branch, QueryError> {
        if !value.is_ref() && value.as_scratch().is_none() {
            return self.leaf(value);
        }
        let (pattern, levels_left) = match nested {
            RawPullNested::No => return self.leaf(value),
            RawPullNested::Pattern(pattern) => (pattern, BTreeMap::new()),
            RawPullNested::Recursion(_) if path.entities.contains(&value) => {
                self.meter.hold(TREE_BYTES)?;
                return Ok(Branch::Tree(self.id_alone(value)));
            }
            RawPullNested::Recursion(depth) => {
                let mut levels_left = path.levels_left.clone();
                if let Some(left) = levels_left.get(&item).copied().or(depth) {
                    levels_left.insert(item, left.saturating_sub(1));
                }
                (path.pattern, levels_left)
            }
        };
        let outer = std::mem::replace(&mut path.levels_left, levels_left);
        let outer = (std::mem::replace(&mut path.pattern, pattern), outer);
        let tree = self.tree(path, value);
        (path.pattern, path.levels_left) = outer;
        tree.map(Branch::Tree)
    }

    /// A value in a tree. Its text is counted each time, because whoever gets the tree gets it each
    /// time.
    fn leaf(&mut self, cell: Cell) -> Result<Branch, QueryError> {
        let value = self.scratch.value(cell);
        let n_bytes = size_of::<Branch>() as u64 + value.n_bytes() as u64;
        self.meter.hold(n_bytes)?;
        self.meter.went_through(n_bytes)?;
        Ok(Branch::Value(value))
    }

    fn id_alone(&self, entity: Cell) -> Tree {
        let id = Branch::Value(self.scratch.value(entity));
        Tree([(Arc::from(ID_KEY), id)].into())
    }
}

/// `post/author`, or `post/_author` for a reverse reference.
fn key_of(attribute: &Name, reverse: bool) -> Arc<str> {
    match attribute.as_str().split_once('/') {
        Some((kind, field)) if reverse => Arc::from(format!("{kind}/_{field}")),
        _ => attribute.shared().clone(),
    }
}
