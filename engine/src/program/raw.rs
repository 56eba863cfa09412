//! The program as it travels: flat, unchecked, without positions.
//!
//! Every front end (EDN text, JSON, builder) makes one of these, and the wire carries it. Nested
//! clauses and pull patterns live in arenas and name their children by index, so no recursive
//! type is ever decoded from a peer. Nothing here is trusted: `Program::check` validates it and
//! reports errors by [`Place`], which query-lang maps to text positions.
//!
//! Invariant checked later, not here: a clause's children have smaller indices than the clause.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::value::Value;

/// A clause of [`RawProgram::clauses`], by index.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ClauseId(pub u32);

/// A pull pattern of [`RawProgram::pulls`], by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PullId(pub u32);

/// A query with its rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RawProgram {
    /// The form of the result.
    pub find_form: FindForm,
    /// The elements of `:find`, in order.
    pub find: Vec<RawFindElement>,
    /// Output names by `:keys` or `:strs`; empty, or one for each find element.
    pub keys: Vec<Name>,
    /// Variables of `:with`.
    pub with: Vec<Name>,
    /// `:in`, without `$`; `%` is [`RawInput::Rules`].
    pub inputs: Vec<RawInput>,
    /// All clauses of the body and of the rules; children before parents.
    pub clauses: Vec<RawClause>,
    /// The conjunction of `:where`.
    pub body: Vec<ClauseId>,
    /// Rule definitions; several of one name are alternatives.
    pub rules: Vec<RawRule>,
    /// All pull patterns; nested ones before the ones that hold them.
    pub pulls: Vec<RawPull>,
    /// Predicates over find elements.
    pub having: Vec<RawHaving>,
    /// Order of the rows; ties are broken by the whole row.
    pub order_by: Vec<RawOrder>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// Rows skipped first.
    pub offset: u64,
    /// Only rows after this key: one value for each element of `order_by`.
    pub after: Vec<Value>,
}

/// The form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindForm {
    /// `:find ?x ?y`: a set of rows.
    #[default]
    Relation,
    /// `:find [?x ?y]`: one row or none.
    Tuple,
    /// `:find [?x ...]`: the values of one column.
    Collection,
    /// `:find ?x .`: one value or none.
    Scalar,
}

/// One element of `:find`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RawFindElement {
    /// A variable.
    Variable(Name),
    /// `(function ?x)`, or `(function n ?x)` with a count.
    Aggregate {
        /// The function's name, e.g. `count`.
        function: Name,
        /// The constant before the variable, as in `(min 3 ?x)`.
        n: Option<Value>,
        /// The variable aggregated over.
        variable: Name,
    },
    /// `(pull ?e pattern)`.
    Pull {
        /// The entity.
        variable: Name,
        /// What to pull.
        pattern: PullId,
    },
}

/// One input of `:in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawInput {
    /// `?x`.
    Scalar(Name),
    /// `[?x _ ?y]`.
    Tuple(Vec<Option<Name>>),
    /// `[?x ...]`.
    Collection(Name),
    /// `[[?x _ ?y]]`.
    Relation(Vec<Option<Name>>),
    /// `%`: rules are given as an argument. They have been merged into [`RawProgram::rules`] by
    /// the front end and take no value in the list of arguments.
    Rules,
}

/// An argument for one input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// For `?x`.
    Scalar(Value),
    /// For `[?x ?y]`.
    Tuple(Vec<Value>),
    /// For `[?x ...]`.
    Collection(Vec<Value>),
    /// For `[[?x ?y]]`.
    Relation(Vec<Vec<Value>>),
}

/// A term as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RawTerm {
    /// `?x`, stored without the question mark.
    Variable(Name),
    /// `_`.
    Blank,
    /// `:user/name`, stored without the colon: an attribute, never a value.
    Keyword(Name),
    /// A constant.
    Constant(Value),
}

/// A clause of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RawClause {
    /// `[e a v]`; positions left out in the text are [`RawTerm::Blank`].
    Pattern {
        /// Entity position.
        entity: RawTerm,
        /// Attribute position.
        attribute: RawTerm,
        /// Value position.
        value: RawTerm,
    },
    /// `[(name args…)]`, e.g. `[(< ?a 30)]`, `[(missing? $ ?e :user/name)]` (the `$` is dropped).
    Predicate {
        /// The function's name.
        function: Name,
        /// Its arguments.
        args: Vec<RawTerm>,
    },
    /// `[(name args…) binding]`, e.g. `[(+ ?a 1) ?b]`, `[(get-else $ ?e :user/age 0) ?age]`.
    Function {
        /// The function's name.
        function: Name,
        /// Its arguments. `ground` of a collection or relation has its rows in `rows` instead.
        args: Vec<RawTerm>,
        /// The constant collection of `ground`: one value a row for a collection, several for a
        /// relation, one row for a tuple.
        rows: Vec<Vec<Value>>,
        /// What the result is bound to.
        binding: RawBinding,
    },
    /// `(rule args…)`.
    Rule {
        /// The rule's name.
        rule: Name,
        /// Its arguments.
        args: Vec<RawTerm>,
    },
    /// `(not …)`, or `(not-join [?x] …)` where `join` is given.
    Not {
        /// The variables shared with the outside, if stated.
        join: Option<Vec<Name>>,
        /// The negated conjunction.
        body: Vec<ClauseId>,
    },
    /// `(or …)`, or `(or-join [[?required] ?x] …)` where `join` is given.
    Or {
        /// The variables shared with the outside, if stated; the required ones included.
        join: Option<Vec<Name>>,
        /// Those of them that must be bound before.
        required: Vec<Name>,
        /// The alternatives; an alternative of several clauses was written `(and …)`.
        branches: Vec<Vec<ClauseId>>,
    },
}

/// What the result of a function is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawBinding {
    /// `?x`, or `_`.
    Scalar(RawTerm),
    /// `[?x _ ?y]`.
    Tuple(Vec<RawTerm>),
    /// `[?x ...]`.
    Collection(RawTerm),
    /// `[[?x ?y]]`.
    Relation(Vec<RawTerm>),
}

/// One definition of a rule: `[(name [?required] ?x ?y) body…]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawRule {
    /// Its name.
    pub name: Name,
    /// How many of the first `head` variables a caller must have bound.
    pub n_required: u32,
    /// The head's variables, the required ones first.
    pub head: Vec<RawTerm>,
    /// The conjunction that defines it.
    pub body: Vec<ClauseId>,
}

/// A pull pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct RawPull {
    /// What is pulled, in order.
    pub items: Vec<RawPullItem>,
}

/// One item of a pull pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RawPullItem {
    /// `*`: every attribute of the entity.
    Wildcard,
    /// One attribute.
    Attribute {
        /// `user/name`, without a colon and without the `_` of a reverse one.
        attribute: Name,
        /// `:post/_author`: the entities that refer to this one.
        reverse: bool,
        /// The key in the result, where `:as` renames it.
        rename: Option<Name>,
        /// At most so many values (`:limit`); without it all.
        limit: Option<u64>,
        /// What to show when there is no value (`:default`).
        default: Option<Value>,
        /// What to pull from the values, which are references.
        nested: RawPullNested,
    },
}

/// What to pull from the values of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawPullNested {
    /// Nothing: the values themselves.
    No,
    /// A pattern of its own.
    Pattern(PullId),
    /// The enclosing pattern again (`...`, or a depth); an entity already on the path is
    /// shown by its id alone.
    Recursion(Option<u64>),
}

/// A predicate over the finished rows, e.g. `[(> (count ?x) 3)]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawHaving {
    /// The function's name.
    pub function: Name,
    /// Its arguments.
    pub args: Vec<RawHavingTerm>,
}

/// An argument of [`RawHaving`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RawHavingTerm {
    /// A find element, by position.
    Element(u32),
    /// A constant.
    Constant(Value),
}

/// One key of `:order-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawOrder {
    /// The find element, by position.
    pub element: u32,
    /// Largest first.
    pub descending: bool,
}

/// Where in a program something is: what errors and warnings of the engine point at, and what
/// query-lang keeps a text position for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The query as a whole.
    Query,
    /// An element of `:find`.
    Find(u32),
    /// An element of `:with`.
    With(u32),
    /// An element of `:in`.
    Input(u32),
    /// A clause.
    Clause(ClauseId),
    /// An argument of a clause: a pattern's position, or a call's argument.
    Argument(ClauseId, u32),
    /// A rule definition.
    Rule(u32),
    /// A key of `:order-by`.
    Order(u32),
    /// A predicate of `:having`.
    Having(u32),
    /// A pull pattern.
    Pull(PullId),
    /// An item of a pull pattern.
    PullItem(PullId, u32),
    /// `:after`.
    After,
}
