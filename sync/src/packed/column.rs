//! Columns of bytes: how they are filled, put one after the other, and read back.
//!
//! A number is a varint: seven bits in a byte, the low ones first, the highest bit set where more
//! follow. A signed one is zigzagged first: 0, -1, 1, -2 are 0, 1, 2, 3.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{N_COLUMNS, Part, RAW_BYTES_MAX};

/// Bytes that are no packed part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a packed part is damaged: {0}")]
pub(crate) struct PackedError(pub(super) &'static str);

/// Columns that are shorter are not deflated.
const DEFLATED_MIN: usize = 24;

/// How much is looked for repetitions: more takes longer and saves little on short columns.
const LEVEL: u32 = 5;

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// The columns in the making.
#[derive(Default)]
pub(super) struct Columns([Vec<u8>; N_COLUMNS]);

impl Columns {
    pub(super) fn byte(&mut self, part: Part, byte: u8) {
        self.0[part as usize].push(byte);
    }

    pub(super) fn bytes(&mut self, part: Part, bytes: &[u8]) {
        self.0[part as usize].extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, part: Part, number: u64) {
        put_varint(&mut self.0[part as usize], number);
    }

    pub(super) fn signed(&mut self, part: Part, number: i64) {
        self.number(part, zigzag(number));
    }

    /// A text, by its length and its bytes.
    pub(super) fn text(&mut self, lengths: Part, texts: Part, text: &str) {
        self.number(lengths, text.len() as u64);
        self.bytes(texts, text.as_bytes());
    }

    /// Each column: how long it is, how long what follows is if it is deflated, else 0; its bytes.
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        let mut deflate = Compress::new(Compression::new(LEVEL), false);
        for column in &self.0 {
            put_varint(frame, column.len() as u64);
            match deflated(&mut deflate, column) {
                Some(deflated) => {
                    put_varint(frame, deflated.len() as u64);
                    frame.extend(deflated);
                }
                None => {
                    frame.push(0);
                    frame.extend(column);
                }
            }
        }
    }
}

/// The column deflated, if that makes it shorter.
fn deflated(deflate: &mut Compress, column: &[u8]) -> Option<Vec<u8>> {
    if column.len() < DEFLATED_MIN {
        return None;
    }
    deflate.reset();
    // What does not fit in here is not shorter.
    let mut bytes = Vec::with_capacity(column.len() - 2);
    let outcome = deflate.compress_vec(column, &mut bytes, FlushCompress::Finish);
    matches!(outcome, Ok(Status::StreamEnd)).then_some(bytes)
}

/// The bytes of a frame that are not read yet.
pub(super) struct Reader<'frame>(pub(super) &'frame [u8]);

impl<'frame> Reader<'frame> {
    pub(super) fn byte(&mut self) -> Result<u8, PackedError> {
        let (byte, rest) = self.0.split_first().ok_or(PackedError("it ends too early"))?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn bytes(&mut self, n_bytes: usize) -> Result<&'frame [u8], PackedError> {
        let (bytes, rest) =
            self.0.split_at_checked(n_bytes).ok_or(PackedError("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> Result<u64, PackedError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PackedError("a number has more than 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, PackedError> {
        self.number().map(unzigzag)
    }

    pub(super) fn length(&mut self) -> Result<usize, PackedError> {
        usize::try_from(self.number()?).map_err(|_| PackedError("a length is none"))
    }
}

/// Columns that were read and inflated.
pub(super) struct Inflated([Vec<u8>; N_COLUMNS]);

impl Inflated {
    /// Reads them; nothing may follow.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Inflated, PackedError> {
        let mut columns: [Vec<u8>; N_COLUMNS] = Default::default();
        let mut inflate = Decompress::new(false);
        let mut n_left = RAW_BYTES_MAX;
        for column in &mut columns {
            let n_bytes = reader.length()?;
            n_left =
                n_left.checked_sub(n_bytes).ok_or(PackedError("it would inflate to too much"))?;
            *column = match reader.length()? {
                0 => reader.bytes(n_bytes)?.to_vec(),
                n_deflated => inflated(&mut inflate, reader.bytes(n_deflated)?, n_bytes)?,
            };
        }
        match reader.0 {
            [] => Ok(Inflated(columns)),
            _ => Err(PackedError("bytes follow it")),
        }
    }

    /// A reader for each of them.
    pub(super) fn readers(&self) -> [Reader<'_>; N_COLUMNS] {
        self.0.each_ref().map(|column| Reader(column))
    }
}

fn inflated(
    inflate: &mut Decompress,
    bytes: &[u8],
    n_bytes: usize,
) -> Result<Vec<u8>, PackedError> {
    inflate.reset(false);
    let mut column = Vec::with_capacity(n_bytes);
    // Never more than the capacity, whatever the bytes would inflate to.
    let outcome = inflate.decompress_vec(bytes, &mut column, FlushDecompress::Finish);
    let is_whole = matches!(outcome, Ok(Status::StreamEnd))
        && column.len() == n_bytes
        && inflate.total_in() == bytes.len() as u64;
    is_whole.then_some(column).ok_or(PackedError("a column does not inflate to its length"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_come_back_and_longer_ones_are_refused() {
        for number in [0, 1, -1, 63, 64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, zigzag(number));
            let mut reader = Reader(&bytes);
            assert_eq!((reader.signed().unwrap(), reader.0.len()), (number, 0));
        }
        let too_long = [0xff; 9];
        for last in [2, 0xff] {
            let bytes = [&too_long[..], &[last]].concat();
            assert!(Reader(&bytes).number().is_err());
        }
        assert!(Reader(&[0x80]).number().is_err());
    }
}
