//! Steps that read a range of values: a pattern together with the comparisons of its value.
//!
//! Cells of one type are neighbors, and those of booleans, dates and inline integers are in the
//! order of their values: for them a comparison is a bound of what is read. Other values of the
//! type (large and fractional numbers, texts, references) are compared one by one, each different
//! value once. So exactly the facts pass that the predicate lets pass; of another type there are
//! none.

use std::ops::ControlFlow;

use super::Evaluator;
use super::access::Pace;
use super::batch::{Matches, Rows};
use super::meter::BLOCK;
use super::reads::Key;
use super::scratch::Scratch;
use super::steps::{Emit, Operand};
use crate::error::QueryError;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::plan::Slot;
use crate::program::functions::Function;
use crate::value::ValueType;

/// Cells from the first up to, without, the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: Cell,
    until: Cell,
    /// Each cell must be compared with the bounds: its order does not tell.
    is_checked: bool,
}

impl Evaluator<'_> {
    /// Continues each row by the facts of an attribute whose value meets all bounds.
    pub(super) fn range(
        &mut self,
        entity: &Slot,
        attribute: &Attribute,
        value: &Slot,
        bounds: &[(Function, Slot)],
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let bounds: Vec<(Function, Operand<'_>)> =
            bounds.iter().map(|(function, slot)| (*function, self.operand(slot, rows))).collect();
        let emit = Emit::new(&[self.operand(entity, rows), self.operand(value, rows)]);
        let mut out = emit.matches();
        let Some(id) = self.attribute_id(attribute) else { return Ok(out) };
        self.record(id, Key::All);
        let (snapshot, scratch, meter) = (self.snapshot, &self.scratch, &mut self.meter);
        let mut pace = Pace::default();
        let (mut entities, mut values) = (Vec::new(), Vec::new());
        for row in 0..rows.len() {
            meter.check_at(row)?;
            let bounds: Vec<(Function, Cell)> = bounds
                .iter()
                .map(|(function, operand)| (*function, operand.known(row).expect("it is known")))
                .collect();
            for span in spans(&bounds, scratch) {
                let (mut n_facts, mut failure) = (0, Ok(()));
                let mut last = None;
                let mut passes = |value| match last {
                    Some((checked, passes)) if checked == value => passes,
                    _ => {
                        let passes = meets(value, &bounds, scratch);
                        last = Some((value, passes));
                        passes
                    }
                };
                let _ = snapshot.for_each_between(id, span.from, span.until, |value, entity| {
                    if (!span.is_checked || passes(value)) && emit.fits(&[entity, value]) {
                        out.from.push(row as u32);
                        entities.push(entity);
                        values.push(value);
                    }
                    n_facts += 1;
                    if n_facts == BLOCK {
                        failure = pace.read(std::mem::take(&mut n_facts), &out, meter);
                    }
                    if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                failure?;
                pace.read(n_facts, &out, meter)?;
            }
        }
        emit.put(&mut out, [entities, values]);
        pace.tell(&out, meter)?;
        Ok(out)
    }
}

/// Whether a value of the bounds' type meets all of them.
fn meets(value: Cell, bounds: &[(Function, Cell)], scratch: &Scratch<'_>) -> bool {
    bounds.iter().all(|(function, bound)| {
        let order = scratch.compare(value, *bound);
        match function {
            Function::Less => order.is_lt(),
            Function::LessEqual => order.is_le(),
            Function::Greater => order.is_gt(),
            Function::GreaterEqual => order.is_ge(),
            Function::Equal => order.is_eq(),
            _ => unreachable!("only comparisons are bounds"),
        }
    })
}

/// The parts of an attribute, by value, in which values can meet the bounds. Together they hold
/// every value that does; a part that is not checked holds no other.
fn spans(bounds: &[(Function, Cell)], scratch: &Scratch<'_>) -> Vec<Span> {
    let type_of = |cell: Cell| match cell.value_type() {
        Some(value_type) => value_type,
        None => scratch.value(cell).value_type(),
    };
    let mut types = bounds.iter().map(|(_, bound)| type_of(*bound));
    let Some(value_type) = types.next() else { return Vec::new() };
    if types.any(|other| other != value_type) {
        return Vec::new();
    }
    if let Some((_, equal)) = bounds.iter().find(|(function, _)| *function == Function::Equal) {
        return vec![Span { from: *equal, until: equal.after(), is_checked: bounds.len() > 1 }];
    }
    let (from, until) = Cell::of_type(value_type);
    match value_type {
        ValueType::Boolean | ValueType::Date => vec![in_order(from, until, bounds, scratch)],
        ValueType::Number => {
            let (first, end) = Cell::INTEGERS;
            let others = Span { from: end, until, is_checked: true };
            vec![in_order(first, end, bounds, scratch), others]
        }
        ValueType::String | ValueType::Ref => vec![Span { from, until, is_checked: true }],
    }
}

/// The part of a span, whose cells are in the order of their values, that meets the bounds.
fn in_order(
    mut from: Cell,
    mut until: Cell,
    bounds: &[(Function, Cell)],
    scratch: &Scratch<'_>,
) -> Span {
    for (function, bound) in bounds {
        // The first cells that are not below the bound, and that are above it.
        let (not_below, above) = if bound.is_in_order() {
            (*bound, bound.after())
        } else {
            let place = first_above(from, until, |cell| scratch.compare(cell, *bound).is_gt());
            (place, place)
        };
        match function {
            Function::Less => until = until.min(not_below),
            Function::LessEqual => until = until.min(above),
            Function::Greater => from = from.max(above),
            Function::GreaterEqual => from = from.max(not_below),
            _ => unreachable!("other functions are no bounds of a part"),
        }
    }
    Span { from, until: until.max(from), is_checked: false }
}

/// The first cell that `is_above`, which holds from some cell on; `until` where none does.
fn first_above(from: Cell, until: Cell, is_above: impl Fn(Cell) -> bool) -> Cell {
    let (mut from, mut until) = (from.0, until.0);
    while from < until {
        let middle = from + (until - from) / 2;
        if is_above(Cell(middle)) {
            until = middle;
        } else {
            from = middle + 1;
        }
    }
    Cell(from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::eval::functions;
    use crate::intern::Dictionary;
    use crate::program::pattern::Patterns;
    use crate::value::{Date, Value};

    fn any_value() -> impl Strategy<Value = Value> {
        let large = prop_oneof![Just(1_i64 << 59), Just(-(1_i64 << 59)), Just(i64::MAX - 1)];
        prop_oneof![
            (-3_i64..3).prop_map(Value::int),
            (large, -1_i64..2).prop_map(|(large, step)| Value::int(large.wrapping_add(step))),
            (-6_i32..6).prop_map(|half| Value::double(f64::from(half) / 2.0).unwrap()),
            prop_oneof![Just(1e18), Just(-1e300), Just(0.1)]
                .prop_map(|double| Value::double(double).unwrap()),
            (-2_i64..3).prop_map(|ms| Value::Date(Date::from_ms(ms).unwrap())),
            any::<bool>().prop_map(Value::Boolean),
            "[ab]{0,2}".prop_map(Value::from),
            "[ab]{1,2}".prop_map(|id| Value::reference(&id).unwrap()),
        ]
    }

    fn any_bound() -> impl Strategy<Value = (Function, Value)> {
        use Function::*;
        let function = prop_oneof![
            Just(Less),
            Just(LessEqual),
            Just(Greater),
            Just(GreaterEqual),
            Just(Equal)
        ];
        (function, any_value())
    }

    proptest! {
        #[test]
        fn exactly_the_values_that_the_predicates_let_pass_are_read(
            values in proptest::collection::vec(any_value(), 1..12),
            bounds in proptest::collection::vec(any_bound(), 1..3),
        ) {
            let dictionary = Dictionary::default();
            let cells: Vec<Cell> = values.iter().map(|value| dictionary.intern(value)).collect();
            let mut scratch = Scratch::new(&dictionary);
            let cell_bounds: Vec<(Function, Cell)> = bounds
                .iter()
                .map(|(function, bound)| (*function, scratch.cell(bound)))
                .collect();
            let spans = spans(&cell_bounds, &scratch);
            for (value, cell) in values.iter().zip(&cells) {
                let expected = bounds.iter().all(|(function, bound)| {
                    let args = [value.clone(), bound.clone()];
                    let patterns = &mut Patterns::default();
                    functions::call(*function, &args, patterns) == Some(Value::Boolean(true))
                });
                let n_read = spans
                    .iter()
                    .filter(|span| span.from <= *cell && *cell < span.until)
                    .filter(|span| !span.is_checked || meets(*cell, &cell_bounds, &scratch))
                    .count();
                prop_assert_eq!(n_read, usize::from(expected), "{} {:?}", value, bounds);
            }
        }
    }
}
