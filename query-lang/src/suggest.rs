//! "Did you mean": the known word nearest to an unknown one.
//!
//! Plain edit distance over a handful of short words; unknown words are cut, so a hostile one
//! costs nothing.

/// The nearest of the known words, if it is near enough to be a slip.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word: Vec<char> = word.chars().take(24).collect();
    let n_slips_max = if word.len() <= 3 { 1 } else { 2 };
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= n_slips_max)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint that names the nearest known word, or else all of them.
pub(crate) fn did_you_mean(word: &str, prefix: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{prefix}{near}`?"),
        None => {
            let all: Vec<String> = known.iter().map(|word| format!("{prefix}{word}")).collect();
            format!("known here: {}", all.join(", "))
        }
    }
}

/// Levenshtein's edit distance, one row at a time.
fn distance(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (index, expected) in candidate.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, actual) in word.iter().enumerate() {
            let substituted = diagonal + usize::from(*actual != expected);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_strangers_are_not() {
        let known = ["find", "where", "with", "limit"];
        assert_eq!(nearest("wher", known), Some("where"));
        assert_eq!(nearest("lmiit", known), Some("limit"));
        assert_eq!(nearest("select", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
