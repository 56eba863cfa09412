//! Items ↔ symbols: an append-only table that is read without a lock by symbol.
//!
//! **Definitions.** A *symbol* is the position of an item in the order in which items came. Items
//! stand in chunks that grow with the table and never move, so that a reader goes from symbol to
//! item by two loads while others append. The way back is a hash table of (hash, symbol) under a
//! lock: it holds no second copy of the items, and its entries' hashes let it grow and pass over
//! most others without looking at any.
//!
//! **Invariants.** `get(find(item)) == item`; symbols are dense from 0 and never renumbered; an
//! item is in its chunk before its symbol is in the index.
//!
//! **Operations.** `find` and `intern` by item, `get` by symbol; `intern_all` for many items, whose
//! way through memory (table, chunk, text) is gone together: each step for a block of them, so that
//! the processor waits for many at a time.
//!
//! What hashes are, and how hard to flood, says [`hash`](super::hash).

use std::hint::black_box;
use std::sync::OnceLock;

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::hash::Hashed;

/// log2 of the size of the first chunk.
const FIRST_BITS: u32 = 6;
/// log2 of how many chunks it takes to double the table: so few of the slots are ever unused.
const STEP_BITS: u32 = 2;
/// How many items are interned together.
const BLOCK: usize = 64;
const N_CHUNKS: usize = 1 + (((u32::BITS - FIRST_BITS) as usize) << STEP_BITS);

/// Where a symbol's item stands: (chunk, offset in it).
#[inline]
fn place(symbol: u32) -> (usize, usize) {
    if symbol < 1 << FIRST_BITS {
        return (0, symbol as usize);
    }
    let doubling = symbol.ilog2();
    let chunk_bits = doubling - STEP_BITS;
    let step = (symbol >> chunk_bits) & ((1 << STEP_BITS) - 1);
    let chunk = 1 + ((doubling - FIRST_BITS) << STEP_BITS) + step;
    (chunk as usize, (symbol & ((1 << chunk_bits) - 1)) as usize)
}

/// How many items a chunk has room for.
fn chunk_len(chunk: usize) -> usize {
    match chunk.checked_sub(1) {
        None => 1 << FIRST_BITS,
        Some(later) => 1 << (FIRST_BITS - STEP_BITS + (later as u32 >> STEP_BITS)),
    }
}

/// An entry of the index: the symbol of an item, with as much of the item's hash as fits beside.
#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    symbol: u32,
}

impl Entry {
    /// The hash that the index sees: it takes the place from the lower bits and a tag from the
    /// uppermost ones.
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

type Slot<Item> = OnceLock<Item>;

/// One kind of interned item.
pub(super) struct Symbols<Item> {
    chunks: [OnceLock<Box<[Slot<Item>]>>; N_CHUNKS],
    index: RwLock<HashTable<Entry>>,
}

impl<Item> Default for Symbols<Item> {
    fn default() -> Self {
        Symbols { chunks: [const { OnceLock::new() }; N_CHUNKS], index: RwLock::default() }
    }
}

impl<Item: Clone + Eq + Hashed> Symbols<Item> {
    fn hash(item: &Item) -> u32 {
        item.hash() as u32
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.index.read().len()
    }

    /// The item of a symbol.
    ///
    /// # Panics
    /// When the symbol is none of this table.
    #[inline]
    pub(super) fn get(&self, symbol: u32) -> &Item {
        let (chunk, offset) = place(symbol);
        let item = self.chunks[chunk].get().and_then(|chunk| chunk[offset].get());
        item.expect("a symbol is that of an item of its own table")
    }

    fn find_hashed(&self, index: &HashTable<Entry>, hash: u32, item: &Item) -> Option<u32> {
        let is_item = |entry: &Entry| entry.hash == hash && self.get(entry.symbol) == item;
        index.find(Entry::spread(hash), is_item).map(|entry| entry.symbol)
    }

    /// The symbol of an item, if it has one.
    pub(super) fn find(&self, item: &Item) -> Option<u32> {
        self.find_hashed(&self.index.read(), Symbols::hash(item), item)
    }

    /// The symbol of an item, which gets the next one if it is new.
    pub(super) fn intern(&self, item: &Item) -> u32 {
        let hash = Symbols::hash(item);
        // Readers go on beside this, another writer does not: what is not found stays absent.
        let index = self.index.upgradable_read();
        if let Some(symbol) = self.find_hashed(&index, hash, item) {
            return symbol;
        }
        self.push(&mut RwLockUpgradableReadGuard::upgrade(index), hash, item.clone())
    }

    /// The symbols of items, which are taken out of the list, in their order. New ones get the next
    /// symbols in that order, too.
    pub(super) fn intern_all(&self, items: &mut Vec<Item>) -> Vec<u32> {
        let mut symbols = Vec::with_capacity(items.len());
        let mut hashes = Vec::with_capacity(BLOCK);
        let mut candidates = Vec::with_capacity(BLOCK);
        let mut items = items.drain(..);
        while !items.as_slice().is_empty() {
            let mut index = self.index.write();
            let block = items.as_slice().iter().take(BLOCK);
            hashes.clear();
            hashes.extend(block.map(Symbols::hash));
            candidates.clear();
            candidates.extend(hashes.iter().map(|hash| {
                let candidate = index.find(Entry::spread(*hash), |entry| entry.hash == *hash);
                candidate.map(|entry| entry.symbol)
            }));
            let known = candidates.iter().flatten();
            black_box(known.map(|symbol| self.get(*symbol).touch()).sum::<usize>());
            for ((hash, candidate), item) in hashes.iter().zip(&candidates).zip(items.by_ref()) {
                // Others of the block may have put it since, or another one of its hash.
                let symbol = candidate
                    .filter(|symbol| *self.get(*symbol) == item)
                    .or_else(|| self.find_hashed(&index, *hash, &item))
                    .unwrap_or_else(|| self.push(&mut index, *hash, item));
                symbols.push(symbol);
            }
        }
        symbols
    }

    /// Gives an item that is absent the next symbol.
    fn push(&self, index: &mut HashTable<Entry>, hash: u32, item: Item) -> u32 {
        let symbol = u32::try_from(index.len()).expect("a dictionary has fewer than 2^32 symbols");
        self.put(symbol, item);
        let spread = |entry: &Entry| Entry::spread(entry.hash);
        index.insert_unique(Entry::spread(hash), Entry { hash, symbol }, spread);
        symbol
    }

    fn put(&self, symbol: u32, item: Item) {
        let (chunk, offset) = place(symbol);
        let chunk = self.chunks[chunk]
            .get_or_init(|| (0..chunk_len(chunk)).map(|_| OnceLock::new()).collect());
        let is_free = chunk[offset].set(item).is_ok();
        assert!(is_free, "a symbol is given once: there is one writer at a time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::Number;

    #[test]
    fn places_fill_one_chunk_after_the_other() {
        let mut expected = (0, 0);
        for symbol in 0..100_000 {
            assert_eq!(place(symbol), expected, "symbol {symbol}");
            expected.1 += 1;
            if expected.1 == chunk_len(expected.0) {
                expected = (expected.0 + 1, 0);
            }
        }
        let (chunk, offset) = place(u32::MAX);
        assert_eq!((chunk, offset), (N_CHUNKS - 1, chunk_len(chunk) - 1));
    }

    #[test]
    fn items_and_symbols_lead_to_each_other() {
        let symbols = Symbols::default();
        for round in 0..2 {
            for item in 0..10_000 {
                let symbol = symbols.intern(&Number::from(item * 7));
                assert_eq!(i64::from(symbol), item, "round {round}");
            }
        }
        assert_eq!(symbols.len(), 10_000);
        for symbol in 0..10_000 {
            assert_eq!(symbols.find(symbols.get(symbol)), Some(symbol));
        }
        assert_eq!(symbols.find(&Number::from(1)), None);
    }

    /// Duplicates stand in one block, in others, and in the table before.
    #[test]
    fn many_at_once_get_the_symbols_of_one_by_one() {
        let items: Vec<Number> = (0..1_000).map(|item| Number::from(item * 7919 % 173)).collect();
        let [together, single] = [Symbols::default(), Symbols::default()];
        for part in [&items[..3], &items[3..70], &items[70..]] {
            let expected: Vec<u32> = part.iter().map(|item| single.intern(item)).collect();
            let mut part = part.to_vec();
            assert_eq!(together.intern_all(&mut part), expected);
            assert!(part.is_empty());
        }
    }

    /// An item whose hash tells nothing: only looking at it does.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Colliding(u32);

    impl Hashed for Colliding {
        fn hash(&self) -> u64 {
            0
        }
        fn touch(&self) -> usize {
            0
        }
    }

    #[test]
    fn items_of_one_hash_are_told_apart() {
        let symbols = Symbols::default();
        let mut items: Vec<Colliding> = (0..200).map(|item| Colliding(item % 100)).collect();
        let expected: Vec<u32> = items.iter().map(|item| item.0).collect();
        assert_eq!(symbols.intern_all(&mut items), expected);
        assert_eq!(symbols.find(&Colliding(7)), Some(7));
        assert_eq!(symbols.find(&Colliding(100)), None);
    }

    #[test]
    fn readers_see_whole_items_while_others_append() {
        let symbols = Symbols::<Arc<str>>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for item in 0..5_000 {
                        let text: Arc<str> = format!("text {item}").into();
                        let symbol = symbols.intern(&text);
                        assert_eq!(symbols.get(symbol), &text);
                        assert_eq!(symbols.find(&text), Some(symbol));
                    }
                });
            }
        });
        assert_eq!(symbols.len(), 5_000);
    }
}
