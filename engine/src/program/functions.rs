//! The functions of the language: one table with name, arity and meaning.
//!
//! A function takes values and gives one value, or none where it has no result (wrong type,
//! overflow, division by zero): then the row is absent. A comparison gives a boolean, and used as
//! a predicate holds where that is `true`. Meaning is in `eval::functions`; this is the list that
//! checking, errors and documentation share.

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `=`
    Equal,
    /// `!=`, `not=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `quot`
    Quotient,
    /// `rem`
    Remainder,
    /// `mod`
    Modulo,
    /// `min`
    Least,
    /// `max`
    Greatest,
    /// `not`
    Not,
    /// `identity`
    Identity,
    /// `str`
    Concatenate,
    /// `count`
    Length,
    /// `upper-case`
    UpperCase,
    /// `lower-case`
    LowerCase,
    /// `subs`
    Substring,
    /// `starts-with?`
    StartsWith,
    /// `ends-with?`
    EndsWith,
    /// `includes?`
    Includes,
}

/// What the table says of one function.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Its name in query text.
    pub name: &'static str,
    /// The function.
    pub function: Function,
    /// The fewest arguments it takes.
    pub args_min: usize,
    /// The most arguments it takes.
    pub args_max: usize,
    /// What it gives, in a few words.
    pub meaning: &'static str,
}

const ANY: usize = usize::MAX;

const fn row(
    name: &'static str,
    function: Function,
    (args_min, args_max): (usize, usize),
    meaning: &'static str,
) -> Signature {
    Signature { name, function, args_min, args_max, meaning }
}

/// Every function. `ground`, `missing?` and `get-else` are forms of their own, not functions.
pub const FUNCTIONS: &[Signature] = &[
    row("=", Function::Equal, (2, ANY), "all arguments are one value"),
    row("!=", Function::NotEqual, (2, 2), "the arguments are different values"),
    row("not=", Function::NotEqual, (2, 2), "the arguments are different values"),
    row("<", Function::Less, (2, ANY), "ascending; false between types"),
    row("<=", Function::LessEqual, (2, ANY), "not descending; false between types"),
    row(">", Function::Greater, (2, ANY), "descending; false between types"),
    row(">=", Function::GreaterEqual, (2, ANY), "not ascending; false between types"),
    row("+", Function::Add, (1, ANY), "sum of numbers"),
    row("-", Function::Subtract, (1, ANY), "difference of numbers; of one, its negation"),
    row("*", Function::Multiply, (1, ANY), "product of numbers"),
    row("/", Function::Divide, (2, 2), "quotient; an integer where it is exact"),
    row("quot", Function::Quotient, (2, 2), "integer quotient, towards zero"),
    row("rem", Function::Remainder, (2, 2), "rest of quot; sign of the first argument"),
    row("mod", Function::Modulo, (2, 2), "rest; sign of the second argument"),
    row("min", Function::Least, (1, ANY), "the least value, of any types"),
    row("max", Function::Greatest, (1, ANY), "the greatest value, of any types"),
    row("not", Function::Not, (1, 1), "the other boolean"),
    row("identity", Function::Identity, (1, 1), "the argument itself"),
    row("str", Function::Concatenate, (0, ANY), "the texts of the arguments, joined"),
    row("count", Function::Length, (1, 1), "characters of a string"),
    row("upper-case", Function::UpperCase, (1, 1), "a string in capitals"),
    row("lower-case", Function::LowerCase, (1, 1), "a string in small letters"),
    row("subs", Function::Substring, (2, 3), "characters from one index up to another"),
    row("starts-with?", Function::StartsWith, (2, 2), "a string begins with another"),
    row("ends-with?", Function::EndsWith, (2, 2), "a string ends with another"),
    row("includes?", Function::Includes, (2, 2), "a string contains another"),
];

impl Function {
    /// The row of the table for a name.
    pub fn find(name: &str) -> Option<&'static Signature> {
        FUNCTIONS.iter().find(|signature| signature.name == name)
    }

    /// The first name in the table.
    pub fn name(self) -> &'static str {
        FUNCTIONS
            .iter()
            .find(|signature| signature.function == self)
            .map(|signature| signature.name)
            .expect("every function is in the table")
    }

    /// Whether it gives a boolean whatever its arguments, so that it may stand as a predicate.
    pub fn is_predicate(self) -> bool {
        use Function::*;
        matches!(
            self,
            Equal
                | NotEqual
                | Less
                | LessEqual
                | Greater
                | GreaterEqual
                | Not
                | StartsWith
                | EndsWith
                | Includes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for signature in FUNCTIONS {
            let found = Function::find(signature.name).expect("in the table");
            assert_eq!(found.function, signature.function, "{}", signature.name);
        }
    }
}
