//! A checked program, ready to run against any snapshot.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::Evaluator;
use super::batch::{Matches, Rows};
use super::explain::{Asked, Explainer};
use super::measure::{Clock, Measure, Part};
use super::meter::{Doing, Meter};
use super::reads::Reads;
use crate::answer::{Answer, AnswerRows};
use crate::error::{ProgramError, QueryError};
use crate::ids::EntityId;
use crate::limits::Budget;
use crate::plan::{Choice, PlanCache, Planner};
use crate::profile::Profile;
use crate::program::lift::{Lifted, lift};
use crate::program::lower::Stratified;
use crate::program::raw::{Input, Place, RawFindElement, RawProgram};
use crate::program::support::{Edge, support};
use crate::program::{FindElement, InputColumn, InputShape, Program, Var};
use crate::store::Snapshot;
use crate::value::Value;

/// The longest chain of rules that call each other without recursing: evaluation nests as deep.
const CALL_DEPTH_MAX: usize = 64;

/// A checked program. A clone is a pointer.
#[derive(Debug, Clone)]
pub struct Query(Arc<Prepared>);

#[derive(Debug)]
struct Prepared {
    program: Program,
    stratified: Stratified,
    plans: PlanCache,
    columns: Arc<[Arc<str>]>,
    /// Its rows are the facts of a support.
    is_support: bool,
    /// Made when it is first asked for.
    lifted: OnceLock<Lifted>,
}

/// The reads of an evaluation, beside its answer.
pub(crate) struct Watched {
    pub(crate) answer: Answer,
    pub(crate) reads: Reads,
}

impl Query {
    /// Checks a program.
    ///
    /// # Errors
    /// Every error found, in order of place.
    pub fn prepare(raw: RawProgram) -> Result<Query, Vec<ProgramError>> {
        Query::prepare_as(raw, false)
    }

    fn prepare_as(raw: RawProgram, is_support: bool) -> Result<Query, Vec<ProgramError>> {
        let program = Program::check(raw)?;
        let stratified = Stratified::lower(&program);
        if stratified.call_depth() > CALL_DEPTH_MAX {
            return Err(vec![ProgramError {
                place: Place::Query,
                code: "query_too_deep",
                message: format!(
                    "rules call each other more than {CALL_DEPTH_MAX} deep, beginning with `{}`",
                    stratified.deepest_rule()
                ),
                hint: None,
            }]);
        }
        let stratified = stratified.inlined();
        let plans = PlanCache::new(&stratified);
        let columns = column_names(&program.raw);
        Ok(Query(Arc::new(Prepared {
            program,
            stratified,
            plans,
            columns,
            is_support,
            lifted: OnceLock::new(),
        })))
    }

    /// The program as it was given.
    pub fn raw(&self) -> &RawProgram {
        &self.0.program.raw
    }

    pub(crate) fn program(&self) -> &Program {
        &self.0.program
    }

    pub(crate) fn stratified(&self) -> &Stratified {
        &self.0.stratified
    }

    pub(super) fn plans(&self) -> &PlanCache {
        &self.0.plans
    }

    /// The program with its constants lifted to inputs.
    pub(crate) fn lifted(&self) -> &Lifted {
        self.0.lifted.get_or_init(|| lift(self.raw()))
    }

    /// That program as a query.
    pub(crate) fn prepare_lifted(&self) -> Result<Query, Vec<ProgramError>> {
        Query::prepare_as(self.lifted().raw.clone(), self.0.is_support)
    }

    /// The query whose rows are the facts of this one's support, up to an edge if it has one.
    pub(crate) fn prepare_support(&self, edge: Option<&Edge>) -> Result<Query, Vec<ProgramError>> {
        Query::prepare_as(support(self.program(), self.stratified(), edge), true)
    }

    /// Where the rows of its window end that a replica needs.
    pub(crate) fn edge(&self) -> Option<Edge> {
        Edge::of(self.program(), self.stratified())
    }

    /// Whether its rows are the facts of a support: live updates then tell facts that were stamped
    /// anew, too.
    pub(crate) fn is_support(&self) -> bool {
        self.0.is_support
    }

    /// What tells live queries apart, but for their inputs.
    pub(crate) fn live_key(&self) -> (bool, &[u8]) {
        (self.0.is_support, &self.lifted().key)
    }

    /// Names of the find elements: those of `:keys`, or their text.
    pub fn columns(&self) -> &Arc<[Arc<str>]> {
        &self.0.columns
    }

    /// Evaluates over a snapshot.
    ///
    /// # Errors
    /// When the inputs do not fit `:in`, or the budget is used up.
    pub fn run(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<Answer, QueryError> {
        let watched = self.evaluate(snapshot, inputs, budget, Choice::Cheapest, false);
        watched.map(|watched| watched.answer)
    }

    /// Evaluates in an order of goals drawn from a seed instead of the one that counts suggest:
    /// the answer is the same, which is what tests show with it.
    ///
    /// # Errors
    /// As [`Query::run`].
    #[doc(hidden)]
    pub fn run_with_order_seed(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
        seed: u64,
    ) -> Result<Answer, QueryError> {
        let watched = self.evaluate(snapshot, inputs, budget, Choice::Drawn(seed), false);
        watched.map(|watched| watched.answer)
    }

    /// Evaluates, and tells what was read.
    pub(crate) fn watch(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<Watched, QueryError> {
        self.evaluate(snapshot, inputs, budget, Choice::Cheapest, true)
    }

    fn evaluate(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
        choice: Choice,
        records_reads: bool,
    ) -> Result<Watched, QueryError> {
        let Prepared { program, stratified, plans, .. } = &*self.0;
        let planner = Planner::new(stratified, snapshot, plans, choice);
        let meter = Meter::new(budget);
        let mut evaluator = Evaluator::new(stratified, snapshot, &planner, meter, records_reads);
        let rows = evaluator.answer_located(program, inputs)?;
        let answer = self.answer(rows, &evaluator);
        Ok(Watched { answer, reads: evaluator.reads.unwrap_or_default().finish(snapshot) })
    }

    fn answer(&self, rows: AnswerRows, evaluator: &Evaluator<'_>) -> Answer {
        Answer {
            columns: Arc::clone(&self.0.columns),
            form: self.0.program.form(),
            rows,
            n_without_result: evaluator.meter.n_without_result,
            work: evaluator.meter.work,
        }
    }

    /// How the query would be evaluated over a snapshot: in which order and why. It prints itself.
    pub fn explain(&self, snapshot: &Snapshot) -> Profile {
        let Prepared { program, stratified, plans, .. } = &*self.0;
        let planner = Planner::new(stratified, snapshot, plans, Choice::Cheapest);
        let explainer = Explainer { program, stratified, snapshot, planner: &planner, ran: None };
        let profile = explainer.profile(Asked::reachable);
        Profile { warnings: self.warnings(snapshot), ..profile }
    }

    /// Evaluates over a snapshot, and tells what each part of the evaluation did. Time is there if
    /// a clock is.
    ///
    /// # Errors
    /// As [`Query::run`].
    pub fn profile(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
        clock: Option<Clock<'_>>,
    ) -> Result<(Answer, Profile), QueryError> {
        let Prepared { program, stratified, plans, .. } = &*self.0;
        let planner = Planner::new(stratified, snapshot, plans, Choice::Cheapest);
        let meter = Meter::new(budget);
        let mut evaluator = Evaluator::new(stratified, snapshot, &planner, meter, false);
        evaluator.measure = Some(Measure::new(clock));
        let mark = evaluator.begin_part(Part::Whole, 0);
        let rows = evaluator.answer_located(program, inputs)?;
        evaluator.end_step(mark, rows.len(), 0);
        let answer = self.answer(rows, &evaluator);
        let ran = Some(&evaluator);
        let explainer = Explainer { program, stratified, snapshot, planner: &planner, ran };
        let profile = explainer.profile(|_| Asked::of_tables(&evaluator));
        Ok((answer, Profile { warnings: self.warnings(snapshot), ..profile }))
    }

    /// Why this query cannot be live, if it cannot.
    ///
    /// # Errors
    /// When it draws at random, or has a limit or offset without an order.
    pub fn check_live(&self) -> Result<(), QueryError> {
        let program = self.program();
        let error = |place, code, message: &str, hint: &str| {
            let (message, hint) = (message.to_owned(), Some(hint.to_owned()));
            Err(QueryError::Program { errors: vec![ProgramError { place, code, message, hint }] })
        };
        for (index, element) in program.find.iter().enumerate() {
            if let FindElement::Aggregate { function, .. } = element
                && function.is_random()
            {
                let place = Place::Find(index as u32);
                let message = "a live query cannot draw at random";
                return error(place, "query_live_random", message, "run it once instead");
            }
        }
        let raw = &program.raw;
        if (raw.limit.is_some() || raw.offset > 0) && raw.order_by.is_empty() {
            let message = "a live query with :limit or :offset needs :order-by";
            let hint = "say which rows come first";
            return error(Place::Query, "query_live_limit", message, hint);
        }
        Ok(())
    }
}

/// The variables that inputs bind, in their order.
pub(super) fn input_vars(program: &Program) -> Vec<Var> {
    program.inputs.iter().flat_map(InputShape::columns).map(|column| column.var).collect()
}

/// The variables that the answer is made of; a variable may stand there twice.
pub(crate) fn asked_vars(program: &Program) -> Vec<Var> {
    let find = program.find.iter().map(FindElement::var);
    find.chain(program.with.iter().copied()).collect()
}

/// The names of the columns: `:keys`, or the elements' text.
fn column_names(raw: &RawProgram) -> Arc<[Arc<str>]> {
    if !raw.keys.is_empty() {
        return raw.keys.iter().map(|name| name.shared().clone()).collect();
    }
    let text = |element: &RawFindElement| match element {
        RawFindElement::Variable(name) => format!("?{name}"),
        RawFindElement::Aggregate { function, n: None, variable } => {
            format!("({function} ?{variable})")
        }
        RawFindElement::Aggregate { function, n: Some(n), variable } => {
            format!("({function} {n} ?{variable})")
        }
        RawFindElement::Pull { variable, .. } => format!("(pull ?{variable})"),
    };
    raw.find.iter().map(|element| Arc::from(text(element))).collect()
}

impl Evaluator<'_> {
    /// The rows of the answer; an error says where it was met.
    pub(super) fn answer_located(
        &mut self,
        program: &Program,
        inputs: &[Input],
    ) -> Result<AnswerRows, QueryError> {
        self.patterns = program.patterns.clone();
        let rows = self.answer_inputs(program, inputs);
        rows.map_err(|error| self.located(program, error))
    }

    /// The rows of the answer, by a way that does not evaluate the body where there is one.
    fn answer_inputs(
        &mut self,
        program: &Program,
        inputs: &[Input],
    ) -> Result<AnswerRows, QueryError> {
        let rows = self.input_rows(program, inputs)?;
        if let Some(rows) = self.counts(program)? {
            return Ok(rows);
        }
        match self.top(program, &rows)? {
            Some(rows) => Ok(rows),
            None => self.rows_of(program, rows),
        }
    }

    /// The rows of the answer for some bindings of the body.
    pub(super) fn rows_of(
        &mut self,
        program: &Program,
        bound: Rows,
    ) -> Result<AnswerRows, QueryError> {
        let plan = self.planner.body(bound.vars(), &asked_vars(program));
        self.meter.doing = Doing::Body { of: None, goal: None };
        let rows = self.run(&plan, 0, bound, None)?;
        let mark = self.begin_part(Part::Result, rows.len());
        let rows = self.find(program, rows)?;
        self.end_step(mark, rows.len(), 0);
        Ok(rows)
    }

    /// One row for each combination of what the inputs give.
    fn input_rows(&mut self, program: &Program, inputs: &[Input]) -> Result<Rows, QueryError> {
        check_count(program, inputs)?;
        let mut rows = Rows::unit();
        for (index, (shape, input)) in program.inputs.iter().zip(inputs).enumerate() {
            let bindings = bindings(shape, input, index + 1)?;
            let vars: Vec<Var> = shape.columns().into_iter().map(|column| column.var).collect();
            let mut out = Matches::new(vars.clone());
            for row in 0..rows.len() {
                for binding in &bindings {
                    out.from.push(row as u32);
                    for (cells, (_, value)) in out.cells.iter_mut().zip(binding) {
                        cells.push(self.counted_cell(value)?);
                    }
                    self.meter.made_row_in(out.n_bytes())?;
                }
            }
            let live = [rows.vars(), &vars].concat();
            rows = rows.continued(out, &live, &self.meter)?;
        }
        // A string and the id that it stands for may both have been given.
        Ok(if rows.len() > 1 { rows.maybe_repeated() } else { rows })
    }
}

/// The rows of values that inputs bind their variables to, in the order of these; none when there
/// would be more than so many.
///
/// # Errors
/// When the inputs do not fit `:in`.
pub(crate) fn input_rows(
    program: &Program,
    inputs: &[Input],
    n_rows_max: usize,
) -> Result<Option<Vec<Vec<Value>>>, QueryError> {
    check_count(program, inputs)?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for (index, (shape, input)) in program.inputs.iter().zip(inputs).enumerate() {
        let bindings = bindings(shape, input, index + 1)?;
        if rows.len().saturating_mul(bindings.len()) > n_rows_max {
            return Ok(None);
        }
        let continued = |row: &Vec<Value>, binding: &Vec<(InputColumn, Value)>| {
            let values = binding.iter().map(|(_, value)| value.clone());
            row.iter().cloned().chain(values).collect::<Vec<Value>>()
        };
        rows = rows
            .iter()
            .flat_map(|row| bindings.iter().map(move |binding| continued(row, binding)))
            .collect();
    }
    // A string and the id that it stands for may both have been given.
    rows.sort_unstable();
    rows.dedup();
    Ok(Some(rows))
}

/// Whether there are as many inputs as `:in` asks for.
pub(crate) fn check_count(program: &Program, inputs: &[Input]) -> Result<(), QueryError> {
    if inputs.len() == program.inputs.len() {
        return Ok(());
    }
    let (asked, given) = (program.inputs.len(), inputs.len());
    let message = format!(":in asks for {asked} inputs, {given} were given");
    Err(QueryError::Input { message })
}

/// What one input binds: for each of its rows the value of each of its variables. No duplicates.
fn bindings(
    shape: &InputShape,
    input: &Input,
    position: usize,
) -> Result<Vec<Vec<(InputColumn, Value)>>, QueryError> {
    let misfit = |expected: &str| QueryError::Input {
        message: format!("input {position} does not fit :in, which asks for {expected}"),
    };
    let rows: Vec<Vec<(InputColumn, &Value)>> = match (shape, input) {
        (InputShape::Scalar(column), Input::Scalar(value)) => vec![vec![(*column, value)]],
        (InputShape::Scalar(_), _) => return Err(misfit("one value")),
        (InputShape::Collection(column), Input::Collection(values)) => {
            values.iter().map(|value| vec![(*column, value)]).collect()
        }
        (InputShape::Collection(_), _) => return Err(misfit("a collection of values")),
        (InputShape::Tuple(columns), Input::Tuple(values)) => {
            let misfit = || misfit(&format!("a tuple of {} values", columns.len()));
            vec![tuple(columns, values).ok_or_else(misfit)?]
        }
        (InputShape::Tuple(_), _) => return Err(misfit("a tuple of values")),
        (InputShape::Relation(columns), Input::Relation(rows)) => {
            let misfit = || misfit(&format!("rows of {} values", columns.len()));
            let rows = rows.iter().map(|row| tuple(columns, row));
            rows.collect::<Option<_>>().ok_or_else(misfit)?
        }
        (InputShape::Relation(_), _) => return Err(misfit("rows of values")),
    };
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for row in rows {
        if !seen.insert(row.iter().map(|(_, value)| (*value).clone()).collect::<Vec<_>>()) {
            continue;
        }
        distinct.push(row.into_iter().map(|(c, value)| (c, as_id(c, value))).collect());
    }
    Ok(distinct)
}

fn tuple<'v>(
    columns: &[Option<InputColumn>],
    values: &'v [Value],
) -> Option<Vec<(InputColumn, &'v Value)>> {
    (columns.len() == values.len()).then(|| {
        let pairs = columns.iter().zip(values);
        pairs.filter_map(|(column, value)| column.map(|column| (column, value))).collect()
    })
}

/// A string given for an entity is its id. One that cannot be an id stays a string, which no
/// entity equals.
fn as_id(column: InputColumn, value: &Value) -> Value {
    let entity = match value {
        Value::String(text) if column.is_entity => EntityId::new(text.clone()).ok(),
        _ => None,
    };
    entity.map_or_else(|| value.clone(), Value::Ref)
}
