//! The facts at one commit, to be asked from any thread for as long as one likes.

use std::time::Instant;

use tercet_engine::answer::Answer;
use tercet_engine::db::{LiveProfile, explain_live};
use tercet_engine::fact::Fact;
use tercet_engine::ids::{EntityId, Seq};
use tercet_engine::limits::Budget;
use tercet_engine::profile::Profile;
use tercet_engine::store;
use tercet_query_lang::{Inputs, IntoQuery};
use tercet_schema::row::read_rows;
use tercet_schema::{Entity, FromRow, Key};

use crate::error::Error;

/// The facts as they were after one commit. Never changes; a clone is a pointer.
#[derive(Clone, Default)]
pub struct Snapshot {
    facts: store::Snapshot,
    seq: Seq,
}

impl Snapshot {
    pub(crate) fn new(facts: store::Snapshot, seq: Seq) -> Snapshot {
        Snapshot { facts, seq }
    }

    /// The last commit in it; 0 before the first one.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// How many facts there are.
    pub fn n_facts(&self) -> u64 {
        self.facts.n_facts()
    }

    /// All facts, by attribute.
    pub fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        self.facts.iter().map(|(fact, _)| fact)
    }

    /// Evaluates a query, however long it takes.
    ///
    /// # Errors
    /// When the query is not valid or the inputs do not fit it.
    pub fn query(&self, query: impl IntoQuery, inputs: impl Into<Inputs>) -> Result<Answer, Error> {
        self.query_within(query, inputs, &Budget::unlimited())
    }

    /// Evaluates a query and reads its rows as structs, tuples or values; see [`FromRow`].
    ///
    /// ```
    /// use tercet::{Attribute, Database, EntityId, Op};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = Database::memory();
    /// let (e, a) = (EntityId::new("ann")?, Attribute::new("user/age")?);
    /// db.transact(vec![Op::Set { e, a, v: 34.into() }])?;
    ///
    /// let ages: Vec<(EntityId, u8)> = db.query_as("[:find ?u ?age :where [?u :user/age ?age]]", ())?;
    /// assert_eq!(ages, [(EntityId::new("ann")?, 34)]);
    ///
    /// let texts = db.query_as::<String>("[:find ?age :where [_ :user/age ?age]]", ());
    /// assert_eq!(
    ///     texts.unwrap_err().to_string(),
    ///     "row 0, column ?age: the number 34 is no alloc::string::String"
    /// );
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`Snapshot::query`], and when the rows are not of the type.
    pub fn query_as<T: FromRow>(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<Vec<T>, Error> {
        Ok(read_rows(&self.query(query, inputs)?)?)
    }

    /// Evaluates a query that comes from somebody who may ask too much.
    ///
    /// # Errors
    /// As for [`Snapshot::query`], and when the budget is used up.
    pub fn query_within(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        Ok(query.into_query()?.run(&self.facts, &inputs.into().0, budget)?)
    }

    /// How a query would be evaluated, and what looks odd about it; a tree that prints itself.
    ///
    /// # Errors
    /// When the query is not valid.
    pub fn explain(&self, query: impl IntoQuery) -> Result<Profile, Error> {
        Ok(query.into_query()?.explain(&self.facts))
    }

    /// How a query would be kept up by [`Database::subscribe`](crate::Database::subscribe): its tier,
    /// and what follows each change of a fact. Nothing is evaluated.
    ///
    /// ```
    /// # fn main() -> Result<(), tercet::Error> {
    /// use tercet::{Database, Tier};
    ///
    /// let text = "[:find ?name :in ?team :where [?p :person/team ?team] [?p :person/name ?name]]";
    /// let profile = Database::memory().snapshot().explain_live(text, ["blue"])?;
    /// assert_eq!((profile.tier, profile.deltas.len()), (Tier::Delta, 2));
    /// println!("{profile}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the query is not valid or cannot be live, or the inputs do not fit.
    pub fn explain_live(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<LiveProfile, Error> {
        Ok(explain_live(&query.into_query()?, &inputs.into().0, &self.facts)?)
    }

    /// Evaluates a query and tells what each part of the evaluation did: rows, facts, bytes, time.
    ///
    /// ```
    /// use tercet::{Attribute, Database, EntityId, Op};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = Database::memory();
    /// let (e, a) = (EntityId::new("ann")?, Attribute::new("user/age")?);
    /// db.transact(vec![Op::Set { e, a, v: 34.into() }])?;
    ///
    /// let (answer, profile) = db.profile("[:find ?u :where [?u :user/age 34]]", ())?;
    /// let step = &profile.query.steps[0];
    /// assert_eq!(step.why, "about 1 facts have this value");
    /// assert_eq!(step.ran.map(|ran| ran.rows_out), Some(answer.rows.len() as u64));
    /// println!("{profile}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`Snapshot::query`].
    pub fn profile(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<(Answer, Profile), Error> {
        let (query, inputs) = (query.into_query()?, inputs.into().0);
        let start = Instant::now();
        let clock = || start.elapsed();
        Ok(query.profile(&self.facts, &inputs, &Budget::unlimited(), Some(&clock))?)
    }

    /// The engine's snapshot, for what reads facts in bulk.
    #[cfg(feature = "formats")]
    pub(crate) fn store(&self) -> &store::Snapshot {
        &self.facts
    }

    /// The facts of one entity, by attribute, then value.
    pub fn entity(&self, entity: &EntityId) -> Vec<Fact> {
        self.facts.entity_facts(entity).into_iter().map(|(fact, _)| fact).collect()
    }

    /// Reads an entity of a type; `None` when no field of the type is there.
    ///
    /// # Errors
    /// When a required field has no readable value and no fallback.
    pub fn get<T: Entity>(&self, id: &impl Key) -> Result<Option<T>, Error> {
        let facts = self.facts.entity_facts(id.as_entity_id());
        Ok(T::from_facts(id.as_entity_id(), &facts)?)
    }
}
