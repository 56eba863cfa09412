//! The binary form of messages and log records: the one file that knows bincode.
//!
//! Input is a slice with a stated bound, decoded types are flat, and trailing bytes are refused,
//! so hostile bytes cost at most their own length and never the stack. The format is bincode 2's
//! `standard()`: little-endian, variable-length integers. Kept in one file because the crate is
//! unmaintained and may have to be replaced in a day.

use serde::{Serialize, de::DeserializeOwned};

/// The longest input that is decoded, in bytes; callers refuse longer ones by their own limits.
pub const DECODE_BYTES_MAX: usize = 64 << 20;

/// Bytes that are no encoding of the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode {n_bytes} bytes: {why}")]
pub struct CodecError {
    n_bytes: usize,
    why: String,
}

/// The binary form.
///
/// # Panics
/// Never for the types of this project: encoding to memory fails only for maps or sequences of
/// unknown length, which none of them has.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("flat types with known lengths always encode")
}

/// The inverse of [`encode`].
///
/// # Errors
/// When the bytes are too many, too few, damaged, or followed by others.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let fail = |why: String| CodecError { n_bytes: bytes.len(), why };
    if bytes.len() > DECODE_BYTES_MAX {
        return Err(fail(format!("more than {DECODE_BYTES_MAX}")));
    }
    let config = bincode::config::standard().with_limit::<{ 4 * DECODE_BYTES_MAX }>();
    let (value, n_read) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| fail(error.to_string()))?;
    if n_read != bytes.len() {
        return Err(fail(format!("{} bytes follow the value", bytes.len() - n_read)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn hostile_lengths_and_trailing_bytes_are_refused() {
        let bytes = encode(&vec![Value::int(1), Value::from("x")]);
        assert_eq!(decode::<Vec<Value>>(&bytes), Ok(vec![Value::int(1), Value::from("x")]));
        assert!(decode::<Vec<Value>>(&bytes[..bytes.len() - 1]).is_err());
        assert!(decode::<Vec<Value>>(&[bytes.as_slice(), &[0]].concat()).is_err());
        let claims_many = [253, 255, 255, 255, 255, 255, 255, 255, 127];
        assert!(decode::<Vec<u64>>(&claims_many).is_err());
        assert!(decode::<String>(&claims_many).is_err());
    }
}
