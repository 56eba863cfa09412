//! Numbers that sort as texts do, so that large results are sorted without looking at any text.
//!
//! Symbols are given in the order in which texts come; a *rank* is a text's place among all texts
//! of its kind. Ranks are made when first asked for, and are kept until the dictionary outgrows
//! them: then new texts are sorted on their own and merged in, in O(n + k log k).
//!
//! Invariant: of two cells that have keys, the lesser value has the lesser key. Numbers that are
//! not inline (most doubles) have none, because they lie between inline ones, which leave no room;
//! nor have scratch cells, and texts that came after the ranks were made.

use std::sync::Arc;

use crate::ids::EntityId;
use crate::limits::BLOCK;
use crate::sort::sort_by;

use super::symbols::Symbols;
use super::{Cell, TAG_BOOLEAN, TAG_DATE, TAG_INT, TAG_REF, TAG_STRING};

/// The ranks of all texts of a dictionary at some time.
#[derive(Debug, Default)]
pub struct Ranks {
    strings: Places,
    entities: Places,
}

/// The ranks of one kind of text.
#[derive(Debug, Default)]
struct Places {
    /// By symbol.
    ranks: Vec<u32>,
    /// The way back: by rank.
    symbols: Vec<u32>,
}

impl Ranks {
    /// A number that sorts among those of other cells as the cell's value among their values;
    /// none for cells that have no such number (see the top of this file).
    #[inline]
    pub fn key(&self, cell: Cell) -> Option<u64> {
        let ranked = |ranks: &[u32], first: u64| {
            let rank = ranks.get(usize::try_from(cell.payload()).ok()?)?;
            Some(Cell::new(first, u64::from(*rank)).0)
        };
        match cell.tag() {
            TAG_BOOLEAN | TAG_INT | TAG_DATE => Some(cell.0),
            TAG_STRING => ranked(&self.strings.ranks, TAG_STRING),
            TAG_REF => ranked(&self.entities.ranks, TAG_REF),
            _ => None,
        }
    }

    /// The places of all texts of the cell's kind, by the symbol, which is the lower half of their
    /// cells; none where it is no text. Those of symbols beyond came later.
    pub(crate) fn by_symbol(&self, cell: Cell) -> Option<&[u32]> {
        match cell.tag() {
            TAG_STRING => Some(&self.strings.ranks),
            TAG_REF => Some(&self.entities.ranks),
            _ => None,
        }
    }

    /// The cells of the texts that have keys from `least` on, in the order of keys: each is so far
    /// from the cell that comes first here. None where keys are not those of texts.
    pub(crate) fn symbols_from(&self, least: u64) -> Option<(Cell, &[u32])> {
        let least = Cell(least);
        let places = match least.tag() {
            TAG_STRING => &self.strings,
            TAG_REF => &self.entities,
            _ => return None,
        };
        let first = usize::try_from(least.payload()).ok()?;
        Some((Cell::new(least.tag(), 0), places.symbols.get(first..)?))
    }

    /// How many texts have a rank.
    pub(super) fn len(&self) -> usize {
        self.strings.ranks.len() + self.entities.ranks.len()
    }

    /// The ranks once all texts of these tables have one. What `check` gives stops it; it is
    /// asked for each block of texts.
    pub(super) fn extended<Error>(
        &self,
        strings: &Symbols<Arc<str>>,
        entities: &Symbols<EntityId>,
        check: &impl Fn() -> Result<(), Error>,
    ) -> Result<Ranks, Error> {
        let string = |symbol| &**strings.get(symbol);
        let entity = |symbol| entities.get(symbol).as_str();
        Ok(Ranks {
            strings: self.strings.extended(strings.len(), string, check)?,
            entities: self.entities.extended(entities.len(), entity, check)?,
        })
    }
}

/// The first 16 bytes of a text as a number that sorts as they do; most comparisons end here, and
/// need no look at the texts.
fn head(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let n = text.len().min(16);
    bytes[..n].copy_from_slice(&text.as_bytes()[..n]);
    u128::from_be_bytes(bytes)
}

impl Places {
    /// Those of the symbols `0..n`, given those of the first ones.
    fn extended<'t, Error>(
        &self,
        n: usize,
        text: impl Fn(u32) -> &'t str,
        check: &impl Fn() -> Result<(), Error>,
    ) -> Result<Places, Error> {
        let n_old = self.ranks.len();
        let symbol = |index: usize| u32::try_from(index).expect("symbols have 32 bits");
        let mut new: Vec<(u128, u32)> = Vec::with_capacity(n - n_old);
        for start in (n_old..n).step_by(BLOCK) {
            check()?;
            let block = (start..n.min(start + BLOCK)).map(symbol);
            new.extend(block.map(|symbol| (head(text(symbol)), symbol)));
        }
        let by_text = |(a_head, a): &(u128, u32), (b_head, b): &(u128, u32)| {
            a_head.cmp(b_head).then_with(|| text(*a).cmp(text(*b)))
        };
        let new = sort_by(new, by_text, check)?;
        // Where each new text goes among the old ones is searched, so that those are not all
        // looked at.
        let mut symbols = Vec::with_capacity(n_old + new.len());
        let mut rest = self.symbols.as_slice();
        for block in new.chunks(BLOCK) {
            check()?;
            for (_, symbol) in block {
                let (before, after) =
                    rest.split_at(rest.partition_point(|other| text(*other) < text(*symbol)));
                symbols.extend_from_slice(before);
                symbols.push(*symbol);
                rest = after;
            }
        }
        symbols.extend_from_slice(rest);
        let mut ranks = vec![0; symbols.len()];
        for (block, first) in symbols.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            check()?;
            for (rank, symbol) in (first..).zip(block) {
                ranks[*symbol as usize] = rank;
            }
        }
        Ok(Places { ranks, symbols })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell;

    use proptest::prelude::*;

    use super::*;
    use crate::intern::Dictionary;
    use crate::value::{Date, Value};

    fn never() -> Result<(), &'static str> {
        Ok(())
    }

    /// For a sort so large that ranks are made for it.
    fn ranks(dictionary: &Dictionary) -> Arc<Ranks> {
        dictionary.ranks_for(1 << 40, &never).unwrap().expect("nobody else makes them")
    }

    fn ranks_for(dictionary: &Dictionary, n_cells: usize) -> Option<Arc<Ranks>> {
        dictionary.ranks_for(n_cells, &never).unwrap()
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            (-3_i64..3).prop_map(Value::int),
            Just(Value::double(0.5).unwrap()),
            (-2_i64..2).prop_map(|ms| Value::Date(Date::from_ms(ms).unwrap())),
            "[aé\u{0}]{0,3}|[ab]{15,18}".prop_map(Value::from),
            "[aé]{1,3}|[ab]{15,18}".prop_map(|id| Value::reference(&id).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn keys_sort_as_values_however_the_dictionary_grew(
            rounds in prop::collection::vec(prop::collection::vec(any_value(), 0..12), 1..4)
        ) {
            let dictionary = Dictionary::default();
            let mut cells = Vec::new();
            for values in rounds {
                cells.extend(values.iter().map(|value| dictionary.intern(value)));
                let ranks = ranks(&dictionary);
                let is_inline = |value: &Value| !matches!(value, Value::Number(n) if n.as_i64().is_none());
                for &a in &cells {
                    prop_assert_eq!(ranks.key(a).is_some(), is_inline(&dictionary.value(a)));
                    let way_back = ranks.key(a).and_then(|key| ranks.symbols_from(key));
                    let is_text = matches!(dictionary.value(a), Value::String(_) | Value::Ref(_));
                    let symbol = |(base, symbols): (Cell, &[u32])| Cell(base.0 + u64::from(symbols[0]));
                    prop_assert_eq!(way_back.map(symbol), is_text.then_some(a));
                    for &b in &cells {
                        if let (Some(a_key), Some(b_key)) = (ranks.key(a), ranks.key(b)) {
                            prop_assert_eq!(a_key.cmp(&b_key), dictionary.compare(a, b));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ranks_are_kept_until_outgrown() {
        let dictionary = Dictionary::default();
        assert!(ranks_for(&dictionary, 0).is_none());
        let cells: Vec<_> =
            (0..100).map(|i| dictionary.intern(&Value::from(format!("{i}")))).collect();
        assert!(ranks_for(&dictionary, 1).is_none(), "two rows are no reason to sort a dictionary");
        let made = ranks_for(&dictionary, 100).unwrap();
        assert!(cells.iter().all(|cell| made.key(*cell).is_some()));
        assert!(ranks_for(&dictionary, 1).is_some(), "they are there");
        let new = dictionary.intern(&Value::from("new"));
        assert_eq!(made.key(new), None);
        assert!(ranks_for(&dictionary, 1).is_none());
        let n_asked = (0..1_000).take_while(|_| ranks_for(&dictionary, 1).is_none()).count();
        assert!((1..1_000).contains(&n_asked), "many small sorts are a reason: {n_asked}");
        assert!(ranks(&dictionary).key(new).is_some());
    }

    #[test]
    fn who_makes_ranks_can_be_stopped_and_is_never_waited_for() {
        let dictionary = Dictionary::default();
        let n_texts = 20_000;
        for index in 0..n_texts {
            dictionary.intern(&Value::from(format!("{}", index * 7_919 % n_texts)));
        }
        let n_checks = cell::Cell::new(0);
        let check = || {
            n_checks.set(n_checks.get() + 1);
            // Who sorts meanwhile sorts without, instead of waiting.
            assert!(ranks_for(&dictionary, n_texts).is_none());
            if n_checks.get() == 60 { Err("stopped") } else { Ok(()) }
        };
        assert_eq!(dictionary.ranks_for(n_texts, &check).map(|_| ()), Err("stopped"));
        n_checks.set(61);
        assert!(dictionary.ranks_for(n_texts, &check).unwrap().is_some(), "made at the next try");
        assert!(n_checks.get() - 61 >= 8 * n_texts / 1_024, "{}", n_checks.get());
    }
}
