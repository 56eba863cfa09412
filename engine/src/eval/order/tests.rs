//! The order of rows against the order of their values, on rows of every type and width.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::keys::{Key, Least, sort, sort_distinct};
use super::*;
use crate::answer::Row;
use crate::eval::meter::tests::n_looks;
use crate::intern::{Cell, Dictionary};
use crate::limits::Budget;
use crate::value::Date;

fn meter() -> Meter {
    Meter::new(&Budget::unlimited())
}

/// However a column is coded and whatever is done with it, limits are looked at for each block.
#[test]
fn limits_are_looked_at_for_each_block_of_rows() {
    let n_rows = 20 * BLOCK;
    let spread = |row: usize| row * 7_919 % n_rows;
    let double = |row| Value::double(spread(row) as f64 + 0.5).unwrap();
    let text = |row| Value::from(format!("text {}", spread(row)));
    let number = |row| Value::int(spread(row) as i64);
    let mixed = |row| if row % 2 == 0 { text(row) } else { number(row) };
    let makes: [&dyn Fn(usize) -> Value; 4] = [&double, &text, &number, &mixed];
    for (make, kind) in makes.iter().zip(["doubles", "texts", "integers", "mixed"]) {
        let dictionary = Dictionary::default();
        let values: Vec<Value> = (0..n_rows).map(make).collect();
        let cells: Vec<Cell> = values.iter().map(|value| dictionary.intern(value)).collect();
        let scratch = Scratch::new(&dictionary);
        let outputs = values.iter().cloned().map(Output::Value).collect();
        for source in [Source::Cells(cells), Source::Outputs(outputs)] {
            let is_least = |n_looks: usize, of: usize, what: &str| {
                let n_least = of / BLOCK;
                assert!(n_looks >= n_least, "{kind}, {what}: {n_looks} looks for {n_least}");
            };
            let looks = n_looks(|meter| Coding::of(&source, &scratch, meter));
            is_least(looks, n_rows, "codes");
            let found = Found { n_rows, sources: vec![source], elements: vec![0] };
            let by = By { source: 0, descending: false };
            let coded = n_looks(|meter| Coding::of(&found.sources[0], &scratch, meter));
            let after = n_looks(|meter| found.after(&[(by, &values[0])], &scratch, meter));
            is_least(after - coded, n_rows, "after");
            let all: Vec<u32> = (0..n_rows as u32).collect();
            is_least(n_looks(|meter| found.keep(&all, meter)), n_rows, "keep");
            let ordered = found.order(&[by], &scratch, &meter()).unwrap();
            let column = n_looks(|meter| ordered.column(0..n_rows, 0, &scratch, meter));
            is_least(column, n_rows, "the column of the answer");
            is_least(n_looks(|meter| ordered.starts(&[by], meter)), n_rows, "runs");
        }
    }
}

/// A value of any type, such that some come more than once and some only the evaluation knows.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        (-3_i64..3).prop_map(Value::int),
        any::<i64>().prop_map(Value::int),
        (i64::MAX - 2..=i64::MAX).prop_map(Value::int),
        (-4_i32..4).prop_map(|half| Value::double(f64::from(half) / 2.0).unwrap()),
        any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
        (-3_i64..3).prop_map(|ms| Value::Date(Date::from_ms(ms).unwrap())),
        "[ab]{0,2}".prop_map(Value::from),
        "abcdefgh[ab]{0,3}".prop_map(Value::from),
        "[ab]{1,2}".prop_map(|id| Value::reference(&id).unwrap()),
    ]
}

/// The values of a column: of one type mostly, as columns are.
fn any_column(n_rows: usize) -> impl Strategy<Value = Vec<Value>> {
    let of = |value: BoxedStrategy<Value>| proptest::collection::vec(value, n_rows).boxed();
    prop_oneof![
        of(any_value().boxed()),
        of((0_i64..4).prop_map(Value::int).boxed()),
        of((0_i64..1 << 50).prop_map(Value::int).boxed()),
        of("[ab]{1,9}".prop_map(Value::from).boxed()),
        of("[abc]{1,2}".prop_map(|id| Value::reference(&id).unwrap()).boxed()),
    ]
}

/// Rows by column, and for each column whether it descends.
fn any_rows() -> impl Strategy<Value = (Vec<Vec<Value>>, Vec<bool>)> {
    (1..6_usize, 0..40_usize).prop_flat_map(|(width, n_rows)| {
        let columns = proptest::collection::vec(any_column(n_rows), width);
        (columns, proptest::collection::vec(any::<bool>(), width))
    })
}

/// Columns of cells, every third value unknown to the dictionary.
fn found(columns: &[Vec<Value>], dictionary: &Dictionary, scratch: &mut Scratch<'_>) -> Found {
    let mut n_values = 0;
    let mut cell = |value: &Value| {
        n_values += 1;
        if n_values % 3 != 0 {
            dictionary.intern(value);
        }
    };
    columns.iter().flatten().for_each(&mut cell);
    let mut cells = |column: &Vec<Value>| -> Vec<Cell> {
        column.iter().map(|value| scratch.cell(value)).collect()
    };
    Found {
        n_rows: columns[0].len(),
        sources: columns.iter().map(|column| Source::Cells(cells(column))).collect(),
        elements: (0..columns.len()).collect(),
    }
}

fn by(descends: &[bool]) -> Vec<By> {
    let column = |(source, descending): (usize, &bool)| By { source, descending: *descending };
    descends.iter().enumerate().map(column).collect()
}

/// Rows as the values order them, each once.
fn expected(columns: &[Vec<Value>], descends: &[bool]) -> Vec<Vec<Value>> {
    let row = |row: usize| columns.iter().map(|column| column[row].clone()).collect::<Vec<_>>();
    let mut rows: Vec<Vec<Value>> = (0..columns[0].len()).map(row).collect();
    rows.sort_by(|a, b| compare_values(a, b, descends));
    rows.dedup();
    rows
}

fn compare_values(a: &[Value], b: &[Value], descends: &[bool]) -> Ordering {
    let orders = a.iter().zip(b).zip(descends).map(|((a, b), descends)| {
        let order = a.cmp(b);
        if *descends { order.reverse() } else { order }
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

fn values(ordered: &Ordered, scratch: &Scratch<'_>) -> Vec<Vec<Value>> {
    let value = |output| match output {
        Output::Value(value) => value,
        other => panic!("{other:?}"),
    };
    let width = ordered.found.elements.len();
    let row = |row| (0..width).map(|column| value(ordered.output(row, column, scratch))).collect();
    (0..ordered.len()).map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rows_are_ordered_as_their_values((columns, descends) in any_rows()) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        let found = found(&columns, &dictionary, &mut scratch);
        let ordered = found.order(&by(&descends), &scratch, &meter()).unwrap();
        prop_assert_eq!(values(&ordered, &scratch), expected(&columns, &descends));
    }

    #[test]
    fn columns_of_the_answer_hold_the_same((columns, descends) in any_rows()) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        let found = found(&columns, &dictionary, &mut scratch);
        let ordered = found.order(&by(&descends), &scratch, &meter()).unwrap();
        let expected: Vec<Row> = expected(&columns, &descends)
            .into_iter()
            .map(|row| row.into_iter().map(Output::Value).collect())
            .collect();
        let columns = (0..columns.len()).map(|element| {
            ordered.column(0..ordered.len(), element, &scratch, &meter()).unwrap()
        });
        let rows = crate::answer::AnswerRows::new(crate::answer::Columns {
            n_rows: ordered.len(),
            columns: columns.collect(),
            dictionary: dictionary.clone(),
        });
        prop_assert_eq!(&rows, &expected);
        prop_assert_eq!(rows.to_vec(), expected);
    }

    #[test]
    fn the_first_are_those_of_all(
        (columns, descends) in any_rows(),
        n in 0..12_usize,
        n_keys in 1..6_usize,
    ) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        let found = found(&columns, &dictionary, &mut scratch);
        let n_keys = n_keys.min(columns.len());
        let first = found.first(n, &by(&descends), n_keys, &scratch, &meter()).unwrap();
        let (mut first, mut all) = (values(&first, &scratch), expected(&columns, &descends));
        first.truncate(n);
        all.truncate(n);
        prop_assert_eq!(first, all);
    }

    #[test]
    fn after_is_as_the_values_compare(
        (columns, descends) in any_rows(),
        after in proptest::collection::vec(any_value(), 1..6),
    ) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        let found = found(&columns, &dictionary, &mut scratch);
        let by: Vec<(By, &Value)> = by(&descends).into_iter().zip(&after).collect();
        let row = |row: u32| -> Vec<Value> {
            columns.iter().map(|column| column[row as usize].clone()).collect()
        };
        let is_after = |at: &u32| compare_values(&row(*at), &after, &descends).is_gt();
        let rows: Vec<u32> = (0..found.n_rows as u32).filter(is_after).collect();
        prop_assert_eq!(found.after(&by, &scratch, &meter()).unwrap(), rows);
    }

    #[test]
    fn groups_are_runs_of_rows_that_agree((columns, _) in any_rows(), n_keys in 0..3_usize) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        // Grouping asks for distinct rows, as a number for each row makes them.
        let numbers = (0..columns[0].len() as i64).map(Value::int).collect();
        let columns = [columns, vec![numbers]].concat();
        let found = found(&columns, &dictionary, &mut scratch);
        prop_assert!(found.is_distinct(&meter()).unwrap());
        let n_keys = n_keys.min(columns.len() - 1);
        let key = &by(&vec![false; n_keys]);
        let (grouped, starts) = found.group(key, &scratch, &meter()).unwrap();
        let rows = values(&grouped, &scratch);
        prop_assert_eq!(rows.len(), columns[0].len());
        prop_assert!(rows.is_sorted_by_key(|row| row[..n_keys].to_vec()));
        let begins = |at: &usize| *at == 0 || rows[at - 1][..n_keys] != rows[*at][..n_keys];
        prop_assert_eq!(starts, (0..rows.len()).filter(begins).collect::<Vec<_>>());
    }

    #[test]
    fn runs_of_ordered_rows_are_groups((columns, _) in any_rows(), n_keys in 0..3_usize) {
        let dictionary = Dictionary::default();
        let mut scratch = Scratch::new(&dictionary);
        let found = found(&columns, &dictionary, &mut scratch);
        let n_keys = n_keys.min(columns.len());
        let by = by(&vec![false; columns.len()]);
        let ordered = found.order(&by, &scratch, &meter()).unwrap();
        let rows = values(&ordered, &scratch);
        let begins = |at: &usize| *at == 0 || rows[at - 1][..n_keys] != rows[*at][..n_keys];
        prop_assert_eq!(
            ordered.starts(&by[..n_keys], &meter()).unwrap(),
            (0..rows.len()).filter(begins).collect::<Vec<_>>()
        );
    }

    /// Words of every width, few and many of them different: by digits, by bitmap, by comparing.
    #[test]
    fn words_are_sorted_each_once(
        seed in any::<u64>(),
        bits in 1..=64_u32,
        n in prop_oneof![0..50_usize, 1_000..3_000_usize],
    ) {
        let mut state = seed;
        let mut word = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.rotate_left(29) >> (64 - bits)
        };
        let words: Vec<u64> = (0..n).map(|_| word()).collect();
        let mut expected = words.clone();
        expected.sort_unstable();
        let (wide, shift) = (words.iter().map(|word| u128::from(*word) << 64), 64);
        let sorted: Vec<u128> = sort(wide.collect(), shift, bits, &meter()).unwrap();
        let sorted: Vec<u64> = sorted.iter().map(|word| (word >> 64) as u64).collect();
        prop_assert_eq!(&sorted, &expected);
        if n > 0 {
            let mut least = Least::new(n.div_ceil(3));
            words.iter().for_each(|word| least.push(*word));
            prop_assert_eq!(least.bound(), Some(expected[n.div_ceil(3) - 1]));
            let mut least = Least::new(n + 1);
            words.iter().for_each(|word| least.push(*word));
            prop_assert_eq!(least.bound(), None);
        }
        expected.dedup();
        prop_assert_eq!(sort_distinct(words, bits, &meter()).unwrap(), expected);
    }

    #[test]
    fn codes_come_back_out_of_a_word(codes in proptest::collection::vec(any::<u64>(), 1..3)) {
        let word = codes.iter().fold(u128::EMPTY, |word, code| word.push(*code, 64));
        for (code, index) in codes.iter().rev().zip(0..) {
            prop_assert_eq!(word.code(64 * index, 64), *code);
        }
    }
}

/// Words of each width, and rows too wide for one, are sorted with looks at the interrupt.
#[test]
fn sorting_looks_at_the_interrupt_in_every_block() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    let n_looks = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&n_looks);
    let interrupt = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    let meter = Meter::new(&Budget { interrupt: Some(Arc::new(interrupt)), ..Budget::unlimited() });
    let dictionary = Dictionary::default();
    let scratch = Scratch::new(&dictionary);
    let n_rows = 40_000_u64;
    for n_columns in [1, 2, 4] {
        let spread = |row: u64, column: u64| {
            let mixed = (row + column).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Cell::inline(&Value::int((mixed >> 12) as i64)).unwrap()
        };
        let column = |column| Source::Cells((0..n_rows).map(|row| spread(row, column)).collect());
        let found = Found {
            n_rows: n_rows as usize,
            sources: (0..n_columns).map(column).collect(),
            elements: (0..n_columns as usize).collect(),
        };
        let by: Vec<By> =
            (0..n_columns as usize).map(|source| By { source, descending: false }).collect();
        let before = n_looks.load(Ordering::Relaxed);
        let ordered = found.order(&by, &scratch, &meter).unwrap();
        assert_eq!(ordered.len(), n_rows as usize);
        let codes: Vec<u64> = (0..ordered.len()).map(|row| ordered.code(row, 0)).collect();
        assert!(codes.is_sorted());
        let n_looks = n_looks.load(Ordering::Relaxed) - before;
        // Once for each pass over the rows: at least three.
        assert!(n_looks >= 3 * n_rows / 1_024, "{n_columns} columns: {n_looks} looks");
    }
}
