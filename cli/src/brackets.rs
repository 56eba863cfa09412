//! Whether a query typed so far is whole: all brackets and strings closed.
//!
//! It knows just enough of EDN (strings, comments, character literals) not to be misled by a
//! bracket inside them. Whether the query is any good is the parser's business.

/// What is known of a text at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balance {
    /// A bracket or a string is still open.
    Open,
    /// Everything opened is closed; or a bracket is closed that was never opened, which no
    /// further line can mend.
    Closed,
}

/// Reads the text up to its end.
pub(crate) fn balance(text: &str) -> Balance {
    let mut expected = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '[' => expected.push(']'),
            '(' => expected.push(')'),
            '{' => expected.push('}'),
            ']' | ')' | '}' => {
                let wanted = expected.pop();
                if wanted != Some(character) {
                    return Balance::Closed;
                }
            }
            '"' => {
                let has_end = skip_string(&mut characters);
                if !has_end {
                    return Balance::Open;
                }
            }
            ';' => {
                characters.by_ref().find(|&next| next == '\n');
            }
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    if expected.is_empty() { Balance::Closed } else { Balance::Open }
}

/// Skips to the end of a string whose opening quote was read; whether it has an end.
fn skip_string(characters: &mut std::str::Chars<'_>) -> bool {
    while let Some(character) = characters.next() {
        match character {
            '"' => return true,
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::Balance::{self, Closed, Open};
    use super::balance;

    fn check(text: &str, expected: Balance) {
        assert_eq!(balance(text), expected, "{text:?}");
    }

    #[test]
    fn brackets_and_strings_have_to_close() {
        check("", Closed);
        check("[:find ?x :where [?x :a/b _]]", Closed);
        check("[:find ?x\n :where [?x :a/b _]", Open);
        check("{:find [?x", Open);
        check("(f \"", Open);
        check("[\"a \\\" ]", Open);
        check("[\"a \\\" \"]", Closed);
    }

    #[test]
    fn brackets_that_are_text_do_not_count() {
        check("[\"[\"]", Closed);
        check("[ ; [ [ [\n]", Closed);
        check("[ ; ]", Open);
        check("[\\[ \\(]", Closed);
    }

    #[test]
    fn what_no_line_can_mend_goes_to_the_parser() {
        check("]", Closed);
        check("[(]", Closed);
    }
}
