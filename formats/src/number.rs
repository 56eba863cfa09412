//! Decimals of other systems, and what of them a number of ours keeps.

use tercet_engine::value::Number;

/// Whether a number that was read from a decimal prints all of its digits again. `0.1` is no double,
/// but the double nearest to it prints as `0.1`: nothing is lost that anyone wrote.
pub(crate) fn keeps_digits(decimal: &str, number: Number) -> bool {
    let printed = match number.as_i64() {
        Some(int) => int.to_string(),
        // Without an exponent, and as short as it can be to be read back.
        None => number.to_f64().to_string(),
    };
    normalized(decimal) == normalized(&printed)
}

/// Sign and digits without what says nothing: a plus, zeros at both ends, a point at the end.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let digits = digits.trim_start_matches('0');
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    format!("{sign}{digits}")
}
