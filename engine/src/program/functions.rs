//! The functions of the language: one table with names, arity, what they give, and documentation.
//!
//! A function takes values and gives one value, or none where it has no result (wrong type,
//! overflow, division by zero): then the row is absent. A comparison gives a boolean, and used as
//! a predicate holds where that is `true`. Meaning is in `eval::functions`; this is the list that
//! checking, errors and documentation share: the tables of `docs/query-language.md` are printed
//! from it, and a test holds them to it.

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// True or false: it may stand as a predicate.
    Truth,
    /// One of its arguments: it makes no value that was not there.
    Argument,
    /// Some value.
    Value,
}

/// What the table says of one function.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Its names in query text, the usual one first.
    pub names: &'static [&'static str],
    /// The function.
    pub function: Function,
    /// The fewest arguments it takes.
    pub args_min: usize,
    /// The most arguments it takes.
    pub args_max: usize,
    /// What it gives.
    pub gives: Gives,
    /// The part of the documentation that it stands in.
    pub group: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it gives, in a few words.
    pub meaning: &'static str,
}

/// An argument that says how to compute, rather than with what: as a constant it is checked
/// before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// A regular expression that is to match a whole text.
    WholePattern,
    /// A regular expression that is looked for in a text.
    Pattern,
    /// The name of a [`Unit`] of time.
    Unit,
}

const ANY: usize = usize::MAX;

macro_rules! functions {
    ($($group:literal: $($function:ident $names:tt $arity:tt $gives:ident $usage:literal
        $meaning:literal)*;)*) => {
        /// A function of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Function {
            $($(#[doc = concat!("`", $usage, "`: ", $meaning)] $function,)*)*
        }

        /// Every function, in the order of [`Function`]. `ground`, `missing?` and `get-else` are
        /// forms of their own, not functions.
        pub const FUNCTIONS: &[Signature] = &[$($(Signature {
            names: &$names,
            function: Function::$function,
            args_min: $arity.0,
            args_max: $arity.1,
            gives: Gives::$gives,
            group: $group,
            usage: $usage,
            meaning: $meaning,
        },)*)*];
    };
}

functions! {
    "Comparison":
    Equal ["=", "=="] (2, ANY) Truth "(= a b …)" "all are one value"
    NotEqual ["!=", "not="] (2, 2) Truth "(!= a b)" "they are different values"
    Less ["<"] (2, ANY) Truth "(< a b …)" "ascending; false between types"
    LessEqual ["<="] (2, ANY) Truth "(<= a b …)" "not descending; false between types"
    Greater [">"] (2, ANY) Truth "(> a b …)" "descending; false between types"
    GreaterEqual [">="] (2, ANY) Truth "(>= a b …)" "not ascending; false between types"
    Compare ["compare"] (2, 2) Value "(compare a b)"
        "-1, 0 or 1: how the two stand in the order of all values"
    Least ["min"] (1, ANY) Argument "(min a …)" "the least of the arguments, of any types"
    Greatest ["max"] (1, ANY) Argument "(max a …)" "the greatest of the arguments, of any types";

    "Numbers":
    Add ["+"] (1, ANY) Value "(+ a …)" "the sum"
    Subtract ["-"] (1, ANY) Value "(- a …)" "the difference; of one argument its negation"
    Multiply ["*"] (1, ANY) Value "(* a …)" "the product"
    Divide ["/"] (2, 2) Value "(/ a b)" "the quotient, an integer where it is exact"
    Quotient ["quot"] (2, 2) Value "(quot a b)" "of integers, the quotient cut towards zero"
    Remainder ["rem"] (2, 2) Value "(rem a b)" "what `quot` leaves: it has the sign of `a`"
    Modulo ["mod"] (2, 2) Value "(mod a b)" "of integers, the rest that has the sign of `b`"
    Increment ["inc"] (1, 1) Value "(inc a)" "one more"
    Decrement ["dec"] (1, 1) Value "(dec a)" "one less"
    Absolute ["abs"] (1, 1) Value "(abs a)" "without its sign"
    Power ["pow"] (2, 2) Value "(pow a n)" "of integers, `a` to the power of `n`, which is not negative"
    SquareRoot ["sqrt"] (1, 1) Value "(sqrt a)" "the nearest double to the root; of a negative number none"
    Floor ["floor"] (1, 1) Value "(floor a)" "the greatest whole number that is not above"
    Ceiling ["ceil"] (1, 1) Value "(ceil a)" "the least whole number that is not below"
    Round ["round"] (1, 1) Value "(round a)" "the nearest whole number, of two the one away from zero"
    IsZero ["zero?"] (1, 1) Truth "(zero? a)" "it is 0"
    IsPositive ["pos?"] (1, 1) Truth "(pos? a)" "it is above 0"
    IsNegative ["neg?"] (1, 1) Truth "(neg? a)" "it is below 0"
    IsEven ["even?"] (1, 1) Truth "(even? a)" "it is an even integer"
    IsOdd ["odd?"] (1, 1) Truth "(odd? a)" "it is an odd integer";

    "Strings":
    Concatenate ["str"] (0, ANY) Value "(str a …)" "the texts of the arguments, of any types, in one string"
    Length ["count"] (1, 1) Value "(count s)" "how many characters"
    Substring ["subs"] (2, 3) Value "(subs s from to)"
        "the characters from one place, counted from 0, up to another or the end"
    IndexOf ["index-of"] (2, 2) Value "(index-of s part)"
        "where a string first holds another; none where it does not"
    LastIndexOf ["last-index-of"] (2, 2) Value "(last-index-of s part)"
        "where a string last holds another; none where it does not"
    UpperCase ["upper-case"] (1, 1) Value "(upper-case s)" "in capitals"
    LowerCase ["lower-case"] (1, 1) Value "(lower-case s)" "in small letters"
    Trim ["trim"] (1, 1) Value "(trim s)" "without white space at its ends"
    TrimStart ["triml"] (1, 1) Value "(triml s)" "without white space at its beginning"
    TrimEnd ["trimr"] (1, 1) Value "(trimr s)" "without white space at its end"
    Replace ["replace"] (3, 3) Value "(replace s part by)"
        "with another string for every place of a part, which is not empty"
    StartsWith ["starts-with?"] (2, 2) Truth "(starts-with? s part)" "it begins with the part"
    EndsWith ["ends-with?"] (2, 2) Truth "(ends-with? s part)" "it ends with the part"
    Includes ["includes?"] (2, 2) Truth "(includes? s part)" "it holds the part"
    IsBlank ["blank?"] (1, 1) Truth "(blank? s)" "it has white space only, or nothing";

    "Regular expressions":
    Matches ["re-matches?"] (2, 2) Truth "(re-matches? pattern s)" "the whole string matches"
    Finds ["re-find?"] (2, 2) Truth "(re-find? pattern s)" "some part of the string matches"
    Find ["re-find"] (2, 2) Value "(re-find pattern s)" "the first part that matches"
    Group ["re-group"] (3, 3) Value "(re-group pattern s n)"
        "what the `n`th group of the first match holds; group 0 is the match"
    ReplaceMatches ["re-replace"] (3, 3) Value "(re-replace pattern s by)"
        "with a text for every match, in which `$1` or `${name}` is a group and `$$` a `$`";

    "Dates":
    Year ["year"] (1, 1) Value "(year d)" "1 to 9999"
    Month ["month"] (1, 1) Value "(month d)" "1 to 12"
    Day ["day"] (1, 1) Value "(day d)" "the day of the month, 1 to 31"
    Hour ["hour"] (1, 1) Value "(hour d)" "0 to 23"
    Minute ["minute"] (1, 1) Value "(minute d)" "0 to 59"
    Second ["second"] (1, 1) Value "(second d)" "0 to 59"
    Millisecond ["millisecond"] (1, 1) Value "(millisecond d)" "0 to 999"
    Weekday ["weekday"] (1, 1) Value "(weekday d)" "1, Monday, to 7, Sunday"
    DayOfYear ["day-of-year"] (1, 1) Value "(day-of-year d)" "1 to 366"
    AddTime ["date-add"] (3, 3) Value "(date-add d n unit)"
        "`n` units later, or earlier where `n` is negative; in a shorter month its last day"
    TimeBetween ["date-diff"] (3, 3) Value "(date-diff from to unit)"
        "how many whole units from one date to another; negative where the second is earlier"
    Truncate ["date-trunc"] (2, 2) Value "(date-trunc d unit)" "the first moment of its unit"
    ParseDate ["parse-date"] (1, 1) Value "(parse-date s)" "the date that an ISO-8601 text names"
    FormatDate ["format-date"] (1, 1) Value "(format-date d)" "as `2024-01-15T10:30:00.000Z`"
    MsOfDate ["date->ms"] (1, 1) Value "(date->ms d)" "milliseconds since 1970"
    DateOfMs ["ms->date"] (1, 1) Value "(ms->date n)" "the date so many milliseconds after 1970";

    "Types, conversions and others":
    Type ["type"] (1, 1) Value "(type a)"
        "`\"boolean\"`, `\"number\"`, `\"date\"`, `\"string\"` or `\"ref\"`"
    IsNumber ["number?"] (1, 1) Truth "(number? a)" "it is a number"
    IsInteger ["int?"] (1, 1) Truth "(int? a)" "it is an integer"
    IsString ["string?"] (1, 1) Truth "(string? a)" "it is a string"
    IsBoolean ["boolean?"] (1, 1) Truth "(boolean? a)" "it is a boolean"
    IsDate ["date?"] (1, 1) Truth "(date? a)" "it is a date"
    IsRef ["ref?"] (1, 1) Truth "(ref? a)" "it is a reference"
    ParseNumber ["number"] (1, 1) Value "(number a)" "the number that a string names; of a number itself"
    Id ["id"] (1, 1) Value "(id r)" "the id of the entity that a reference names, as a string"
    Ref ["ref"] (1, 1) Value "(ref s)" "the reference to the entity with this id"
    Namespace ["namespace"] (1, 1) Value "(namespace attribute)" "what stands before the first `/`"
    LocalName ["name"] (1, 1) Value "(name attribute)" "what stands after the first `/`"
    Not ["not"] (1, 1) Truth "(not a)" "the other boolean"
    Identity ["identity"] (1, 1) Argument "(identity a)" "the argument"
    Hash ["hash"] (1, 1) Value "(hash a)"
        "an integer below 2^53, the same for equal values everywhere and for ever";
}

/// What people from elsewhere write, and what it is called here.
const FOREIGN: &[(&str, &str)] = &[
    ("<>", "!="),
    ("add", "+"),
    ("ceiling", "ceil"),
    ("coalesce", "get-else"),
    ("concat", "str"),
    ("contains?", "includes?"),
    ("dow", "weekday"),
    ("get-some", "or-join"),
    ("len", "count"),
    ("length", "count"),
    ("like", "re-matches?"),
    ("lower", "lower-case"),
    ("modulo", "mod"),
    ("re-matches", "re-matches?"),
    ("regexp", "re-find?"),
    ("string-length", "count"),
    ("substr", "subs"),
    ("substring", "subs"),
    ("text", "str"),
    ("upper", "upper-case"),
];

/// The forms that look like functions and are checked apart.
const FORMS: [&str; 3] = ["ground", "missing?", "get-else"];

impl Function {
    /// The row of the table for a name.
    pub fn find(name: &str) -> Option<&'static Signature> {
        FUNCTIONS.iter().find(|signature| signature.names.contains(&name))
    }

    /// Its row of the table.
    pub fn signature(self) -> &'static Signature {
        &FUNCTIONS[self as usize]
    }

    /// The usual name.
    pub fn name(self) -> &'static str {
        self.signature().names[0]
    }

    /// Whether it gives a boolean whatever its arguments, so that it may stand as a predicate.
    pub fn is_predicate(self) -> bool {
        self.signature().gives == Gives::Truth
    }

    /// Whether it may give a value that none of its arguments is, again and again.
    pub(crate) fn makes_values(self) -> bool {
        self.signature().gives == Gives::Value
    }

    /// The argument that is checked where it is a constant, and as what.
    pub(crate) fn directive(self) -> Option<(usize, Directive)> {
        use Function::*;
        match self {
            Matches => Some((0, Directive::WholePattern)),
            Finds | Find | Group | ReplaceMatches => Some((0, Directive::Pattern)),
            AddTime | TimeBetween => Some((2, Directive::Unit)),
            Truncate => Some((1, Directive::Unit)),
            _ => None,
        }
    }
}

/// The name that somebody who wrote an unknown one may have meant.
pub(crate) fn meant(
    unknown: &str,
    nearest: impl Fn(&str, &mut dyn Iterator<Item = &'static str>) -> Option<&'static str>,
) -> Option<&'static str> {
    // `clojure.string/blank?` and its like are known here without their namespace.
    let local = unknown.rsplit('/').next().filter(|local| !local.is_empty()).unwrap_or(unknown);
    let known = || FUNCTIONS.iter().flat_map(|signature| signature.names).copied().chain(FORMS);
    let exact = known().find(|name| *name == local);
    let foreign = || FOREIGN.iter().find(|(name, _)| *name == local).map(|(_, ours)| *ours);
    exact.or_else(foreign).or_else(|| nearest(local, &mut known()))
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    pub(crate) const ALL: [(&'static str, Unit); 9] = [
        ("millisecond", Unit::Millisecond),
        ("second", Unit::Second),
        ("minute", Unit::Minute),
        ("hour", Unit::Hour),
        ("day", Unit::Day),
        ("week", Unit::Week),
        ("month", Unit::Month),
        ("quarter", Unit::Quarter),
        ("year", Unit::Year),
    ];

    pub(crate) fn find(name: &str) -> Option<Unit> {
        Unit::ALL.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (index, signature) in FUNCTIONS.iter().enumerate() {
            assert_eq!(signature.function as usize, index, "{}", signature.usage);
            for name in signature.names {
                let found = Function::find(name).expect("in the table");
                assert_eq!(found.function, signature.function, "{name}");
            }
            let called = format!("({} ", signature.names[0]);
            assert!(signature.usage.starts_with(&called), "{}", signature.usage);
        }
    }

    #[test]
    fn every_name_from_elsewhere_leads_to_one_of_ours() {
        for (name, ours) in FOREIGN {
            let known =
                Function::find(ours).is_some() || FORMS.contains(ours) || *ours == "or-join";
            assert!(known && Function::find(name).is_none(), "{name}");
        }
    }
}
