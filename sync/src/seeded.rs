//! Numbers and names drawn from a seed: all the randomness that the peers have.
//!
//! The seed comes from outside, so that a simulation replays. Draw `n` is the hash of seed and
//! `n`: unpredictable to whoever does not know the seed. Not for keys.

/// The letters of generated ids, as nano ids have them.
const LETTERS: &[u8; 64] = b"useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict";

/// A stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct Seeded {
    seed: [u8; 32],
    n_drawn: u64,
}

impl Seeded {
    /// The stream of a seed.
    pub(crate) fn new(seed: [u8; 32]) -> Seeded {
        Seeded { seed, n_drawn: 0 }
    }

    fn draw(&mut self) -> [u8; 32] {
        self.n_drawn += 1;
        *blake3::keyed_hash(&self.seed, &self.n_drawn.to_be_bytes()).as_bytes()
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        let draw = self.draw();
        u64::from_be_bytes(*draw.first_chunk().expect("a hash has 32 bytes"))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// 21 letters, as generated ids are.
    pub(crate) fn id(&mut self) -> String {
        let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 64)]);
        self.draw()[..21].iter().map(letter).collect()
    }
}
