//! A column of numbers in as few bits as one width allows.
//!
//! **Definitions.** A column is a *base* and for each entry a *delta* to it, all of one width: none
//! (every entry is the base), 8, 16, 32 or 64 bits. Where few different numbers lie far apart, as
//! the ids of replicas do, it is a sorted table of them and for each entry an 8-bit place in it.
//!
//! **Invariants.** Every entry is base + delta, or the table's number. A column that was just
//! packed has the least width for its numbers. Nothing is decoded to be searched.
//!
//! **Operations.** Entries are read, searched, inserted, exchanged and removed in place. A number
//! that does not fit widens the column; only packing (splits, joins, loads) makes it narrower.

use super::tree::{Entries, Keys};

/// Room for more entries that a column gets when it grows or is copied to be written.
const SLACK: usize = 8;
/// The most numbers of a table: finding the table must stay cheap.
const TABLE_MAX: usize = 16;

/// A list of numbers, packed.
#[derive(Debug)]
pub(super) struct Column {
    base: u64,
    deltas: Deltas,
}

#[derive(Debug)]
enum Deltas {
    /// So many entries, all of them the base.
    None(usize),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    /// The base is not used. The table is sorted, without duplicates.
    Table(Box<[u64]>, Vec<u8>),
}

/// Does the same to the deltas of every width.
macro_rules! each_width {
    ($deltas:expr, $none:pat => $nothing:expr, $vec:ident => $body:expr) => {
        match $deltas {
            $none => $nothing,
            Deltas::U8($vec) => $body,
            Deltas::U16($vec) => $body,
            Deltas::U32($vec) => $body,
            Deltas::U64($vec) => $body,
            Deltas::Table(_, $vec) => $body,
        }
    };
}

/// A vector's clone with room for some more entries: it is copied because it is written.
fn clone_with_slack<T: Copy>(entries: &[T]) -> Vec<T> {
    let mut clone = Vec::with_capacity(entries.len() + SLACK);
    clone.extend_from_slice(entries);
    clone
}

/// Inserts without the doubling of `Vec`, which would leave half of a leaf unused.
fn insert_tight<T>(entries: &mut Vec<T>, index: usize, entry: T) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(SLACK);
    }
    entries.insert(index, entry);
}

/// The first place in `begin..end` whose delta is not below `delta`; deltas of the width cannot be
/// above what does not fit it.
#[inline]
fn lower_bound<T: Copy + Ord>(
    deltas: &[T],
    begin: usize,
    end: usize,
    delta: impl TryInto<T>,
) -> usize {
    match delta.try_into() {
        Ok(delta) => begin + deltas[begin..end].partition_point(|other| *other < delta),
        Err(_) => end,
    }
}

impl Default for Column {
    fn default() -> Self {
        Column { base: 0, deltas: Deltas::None(0) }
    }
}

impl Clone for Column {
    fn clone(&self) -> Self {
        let deltas = match &self.deltas {
            Deltas::None(n) => Deltas::None(*n),
            Deltas::U8(deltas) => Deltas::U8(clone_with_slack(deltas)),
            Deltas::U16(deltas) => Deltas::U16(clone_with_slack(deltas)),
            Deltas::U32(deltas) => Deltas::U32(clone_with_slack(deltas)),
            Deltas::U64(deltas) => Deltas::U64(clone_with_slack(deltas)),
            Deltas::Table(table, places) => Deltas::Table(table.clone(), clone_with_slack(places)),
        };
        Column { base: self.base, deltas }
    }
}

impl Column {
    /// The numbers in the least width.
    pub(super) fn pack(numbers: &[u64]) -> Column {
        let (mut least, mut greatest) = (u64::MAX, 0);
        for &number in numbers {
            (least, greatest) = (least.min(number), greatest.max(number));
        }
        let base = if numbers.is_empty() { 0 } else { least };
        let deltas = || numbers.iter().map(|number| number - base);
        let deltas = match greatest.saturating_sub(base) {
            0 => Deltas::None(numbers.len()),
            1..=0xff => Deltas::U8(deltas().map(|delta| delta as u8).collect()),
            0x100..=0xffff => Deltas::U16(deltas().map(|delta| delta as u16).collect()),
            0x1_0000..=0xffff_ffff => Deltas::U32(deltas().map(|delta| delta as u32).collect()),
            _ => tabled(numbers).unwrap_or_else(|| Deltas::U64(deltas().collect())),
        };
        Column { base, deltas }
    }

    pub(super) fn len(&self) -> usize {
        each_width!(&self.deltas, Deltas::None(n) => *n, deltas => deltas.len())
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> u64 {
        match &self.deltas {
            Deltas::None(n) => {
                debug_assert!(index < *n, "entry {index} of {n}");
                self.base
            }
            // The sum is the number that was packed: it never wraps.
            Deltas::U8(deltas) => self.base.wrapping_add(u64::from(deltas[index])),
            Deltas::U16(deltas) => self.base.wrapping_add(u64::from(deltas[index])),
            Deltas::U32(deltas) => self.base.wrapping_add(u64::from(deltas[index])),
            Deltas::U64(deltas) => self.base.wrapping_add(deltas[index]),
            Deltas::Table(table, places) => table[usize::from(places[index])],
        }
    }

    /// The numbers of `begin..`, as many as `out` has room for.
    #[inline]
    pub(super) fn unpack(&self, begin: usize, out: &mut [u64]) {
        fn add<T: Copy + Into<u64>>(base: u64, deltas: &[T], out: &mut [u64]) {
            for (out, delta) in out.iter_mut().zip(deltas) {
                *out = base.wrapping_add((*delta).into());
            }
        }
        match &self.deltas {
            Deltas::None(_) => out.fill(self.base),
            Deltas::U8(deltas) => add(self.base, &deltas[begin..], out),
            Deltas::U16(deltas) => add(self.base, &deltas[begin..], out),
            Deltas::U32(deltas) => add(self.base, &deltas[begin..], out),
            Deltas::U64(deltas) => add(self.base, &deltas[begin..], out),
            Deltas::Table(table, places) => {
                for (out, place) in out.iter_mut().zip(&places[begin..]) {
                    *out = table[usize::from(*place)];
                }
            }
        }
    }

    fn numbers(&self) -> Vec<u64> {
        let mut numbers = vec![0; self.len()];
        self.unpack(0, &mut numbers);
        numbers
    }

    /// Of entries that ascend in `begin..end`, the first that is not below `number`; else `end`.
    #[inline]
    pub(super) fn lower_bound(&self, begin: usize, end: usize, number: u64) -> usize {
        if begin == end {
            return end;
        }
        if let Deltas::Table(table, places) = &self.deltas {
            let place = table.partition_point(|other| *other < number);
            let is_below = |other: &u8| usize::from(*other) < place;
            return begin + places[begin..end].partition_point(is_below);
        }
        let Some(delta) = number.checked_sub(self.base) else { return begin };
        match &self.deltas {
            Deltas::None(_) => {
                if delta == 0 {
                    begin
                } else {
                    end
                }
            }
            Deltas::U8(deltas) => lower_bound(deltas, begin, end, delta),
            Deltas::U16(deltas) => lower_bound(deltas, begin, end, delta),
            Deltas::U32(deltas) => lower_bound(deltas, begin, end, delta),
            Deltas::U64(deltas) => lower_bound(deltas, begin, end, delta),
            Deltas::Table(..) => unreachable!("answered above"),
        }
    }

    /// Puts a number before the entry at `index`.
    pub(super) fn insert(&mut self, index: usize, number: u64) {
        let delta = number.checked_sub(self.base);
        match (&mut self.deltas, delta) {
            (Deltas::None(n), Some(0)) => *n += 1,
            (Deltas::U8(deltas), Some(delta @ 0..=0xff)) => {
                insert_tight(deltas, index, delta as u8);
            }
            (Deltas::U16(deltas), Some(delta @ 0..=0xffff)) => {
                insert_tight(deltas, index, delta as u16);
            }
            (Deltas::U32(deltas), Some(delta @ 0..=0xffff_ffff)) => {
                insert_tight(deltas, index, delta as u32);
            }
            (Deltas::U64(deltas), Some(delta)) => insert_tight(deltas, index, delta),
            (Deltas::Table(table, places), _) if let Ok(place) = table.binary_search(&number) => {
                insert_tight(places, index, place as u8);
            }
            _ => {
                let mut numbers = self.numbers();
                numbers.insert(index, number);
                *self = Column::pack(&numbers);
            }
        }
    }

    /// Exchanges the entry at `index`.
    pub(super) fn set(&mut self, index: usize, number: u64) {
        let delta = number.checked_sub(self.base);
        match (&mut self.deltas, delta) {
            (Deltas::None(_), Some(0)) => {}
            (Deltas::U8(deltas), Some(delta @ 0..=0xff)) => deltas[index] = delta as u8,
            (Deltas::U16(deltas), Some(delta @ 0..=0xffff)) => deltas[index] = delta as u16,
            (Deltas::U32(deltas), Some(delta @ 0..=0xffff_ffff)) => deltas[index] = delta as u32,
            (Deltas::U64(deltas), Some(delta)) => deltas[index] = delta,
            (Deltas::Table(table, places), _) if let Ok(place) = table.binary_search(&number) => {
                places[index] = place as u8;
            }
            _ => {
                let mut numbers = self.numbers();
                numbers[index] = number;
                *self = Column::pack(&numbers);
            }
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        each_width!(&mut self.deltas, Deltas::None(n) => *n -= 1, deltas => {
            deltas.remove(index);
        });
    }

    /// Parts the column before `at`; both parts are packed.
    pub(super) fn split_off(&mut self, at: usize) -> Column {
        let numbers = self.numbers();
        let (left, right) = numbers.split_at(at);
        *self = Column::pack(left);
        Column::pack(right)
    }

    /// Takes over the entries of another column; packed.
    pub(super) fn append(&mut self, other: &Column) {
        let mut numbers = self.numbers();
        numbers.extend(other.numbers());
        *self = Column::pack(&numbers);
    }
}

impl Entries for Column {
    type Entry = u64;

    fn pack(entries: &[u64]) -> Self {
        Column::pack(entries)
    }
    fn entry(&self, index: usize) -> u64 {
        self.get(index)
    }
    fn insert(&mut self, index: usize, entry: u64) {
        Column::insert(self, index, entry);
    }
    fn set(&mut self, index: usize, entry: u64) {
        Column::set(self, index, entry);
    }
    fn remove(&mut self, index: usize) {
        Column::remove(self, index);
    }
    fn split_off(&mut self, at: usize) -> Self {
        Column::split_off(self, at)
    }
    fn append(&mut self, other: Self) {
        Column::append(self, &other);
    }
}

impl Keys for Column {
    fn len(&self) -> usize {
        Column::len(self)
    }
    fn lower_bound(&self, begin: usize, end: usize, number: u64) -> usize {
        Column::lower_bound(self, begin, end, number)
    }
}

/// The numbers as places in a table, if they are few.
fn tabled(numbers: &[u64]) -> Option<Deltas> {
    let mut table: Vec<u64> = Vec::with_capacity(TABLE_MAX);
    for number in numbers {
        if let Err(place) = table.binary_search(number) {
            if table.len() == TABLE_MAX {
                return None;
            }
            table.insert(place, *number);
        }
    }
    let place = |number| table.binary_search(number).expect("every number is in it") as u8;
    let places = numbers.iter().map(place).collect();
    Some(Deltas::Table(table.into(), places))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers near each other and far apart, with edges of widths among them.
    fn number() -> impl Strategy<Value = u64> {
        let base = prop::sample::select(vec![0, 7, 1 << 40, u64::MAX - (1 << 33), 6 << 60]);
        let delta = prop_oneof![
            4 => 0_u64..4,
            4 => 0_u64..300,
            1 => 0_u64..70_000,
            1 => 0_u64..(1 << 33),
        ];
        (base, delta).prop_map(|(base, delta): (u64, u64)| base.saturating_add(delta))
    }

    /// Lists that one width fits, and lists that none does.
    fn numbers() -> impl Strategy<Value = Vec<u64>> {
        let near = |most: u64| {
            let delta = prop::collection::vec(0..=most, 0..40);
            (number(), delta).prop_map(|(base, deltas)| {
                deltas.into_iter().map(|delta| base.saturating_add(delta)).collect()
            })
        };
        let mixed = prop::collection::vec(number(), 0..40);
        prop_oneof![near(0), near(0xff), near(0xffff), near(0xffff_ffff), near(1 << 40), mixed]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(usize, u64),
        Set(usize, u64),
        Remove(usize),
        Part(usize),
        Clone,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<usize>(), number()).prop_map(|(at, number)| Step::Insert(at, number)),
            2 => (any::<usize>(), number()).prop_map(|(at, number)| Step::Set(at, number)),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::Part),
            1 => Just(Step::Clone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_column_is_a_list_of_numbers(
            numbers in numbers(),
            steps in prop::collection::vec(step(), 0..40),
        ) {
            let (mut column, mut model) = (Column::pack(&numbers), numbers);
            for step in steps {
                let n = model.len();
                match step {
                    Step::Insert(at, number) => {
                        column.insert(at % (n + 1), number);
                        model.insert(at % (n + 1), number);
                    }
                    Step::Set(at, number) if n > 0 => {
                        column.set(at % n, number);
                        model[at % n] = number;
                    }
                    Step::Remove(at) if n > 0 => {
                        column.remove(at % n);
                        model.remove(at % n);
                    }
                    Step::Part(at) => {
                        let right = column.split_off(at % (n + 1));
                        prop_assert_eq!(&column.numbers(), &model[..at % (n + 1)]);
                        prop_assert_eq!(&right.numbers(), &model[at % (n + 1)..]);
                        column.append(&right);
                    }
                    Step::Clone => column = column.clone(),
                    Step::Set(..) | Step::Remove(_) => {}
                }
                prop_assert_eq!(column.numbers(), &*model);
                prop_assert_eq!(column.len(), model.len());
                let mut last = vec![0; model.len() / 2];
                column.unpack(model.len() - last.len(), &mut last);
                prop_assert!(model.ends_with(&last));
                prop_assert!((0..model.len()).all(|index| column.get(index) == model[index]));
            }
        }

        #[test]
        fn a_search_is_that_of_the_list(
            numbers in numbers(),
            probes in prop::collection::vec((number(), any::<usize>(), any::<usize>()), 20),
        ) {
            let mut numbers = numbers;
            numbers.sort_unstable();
            let column = Column::pack(&numbers);
            let ranges = probes.into_iter().map(|(number, begin, end)| {
                let end = end % (numbers.len() + 1);
                (number, begin % (end + 1), end)
            });
            let near: Vec<u64> =
                numbers.iter().flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]).collect();
            let whole = near.into_iter().map(|number| (number, 0, numbers.len()));
            for (number, begin, end) in ranges.chain(whole) {
                let expected = numbers[begin..end].partition_point(|other| *other < number);
                prop_assert_eq!(column.lower_bound(begin, end, number), begin + expected);
            }
        }
    }

    #[test]
    fn the_least_width_is_chosen() {
        let width = |numbers: &[u64]| match Column::pack(numbers).deltas {
            Deltas::None(_) => 0,
            Deltas::U8(_) => 8,
            Deltas::U16(_) => 16,
            Deltas::U32(_) => 32,
            Deltas::U64(_) => 64,
            Deltas::Table(..) => 1,
        };
        let far: Vec<u64> = (0..17).map(|i| i << 40).collect();
        assert_eq!([width(&[]), width(&[9]), width(&[9, 9, 9])], [0, 0, 0]);
        assert_eq!([width(&[9, 264]), width(&[9, 265]), width(&[0, 1 << 16])], [8, 16, 32]);
        assert_eq!([width(&[0, u64::MAX]), width(&far[..16]), width(&far)], [1, 1, 64]);
    }
}
