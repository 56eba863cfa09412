//! Ranges over values of all types in one attribute: integers beside doubles beside dates beside
//! text, bounds that are values, lie between values, exclude everything or nothing; from constants,
//! inputs and other facts.

use tercet_engine::program::raw::Input;
use tercet_engine::value::{Date, Value};

use super::{Data, node, one_of, read, size};
use crate::generate::program::Case;
use crate::random::Random;

pub(super) fn range(random: &mut Random) -> (Data, Case) {
    let n_facts = if random.chance(10) { 200 + random.below(600) } else { size(random, 1_500) };
    let mut data = Data::default();
    let mut values = Vec::new();
    for index in 0..n_facts {
        let v = value(random);
        values.push(v.clone());
        data.add(node(index / 2), one_of(random, &["n/any", "n/any", "n/size"]), v);
    }
    let (text, inputs) = query(random, &values);
    (data, read(random, &text, inputs))
}

/// Values that lie close together at the edges of types and of number formats.
fn value(random: &mut Random) -> Value {
    let two_53 = 1_i64 << 53;
    let ints = [
        i64::MIN,
        i64::MIN + 1,
        -two_53,
        -1,
        0,
        1,
        2,
        3,
        two_53 - 1,
        two_53,
        two_53 + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    let doubles = [
        f64::MIN,
        -1e19,
        -1.5,
        -5e-324,
        0.0,
        5e-324,
        0.1,
        0.5,
        1.0,
        1.5,
        2.5,
        9_007_199_254_740_993.0,
        9.3e18,
        1e19,
        f64::MAX,
    ];
    let texts = ["", "a", "aa", "ab", "b", "\u{10ffff}", "\u{ffff}", "Ä", "z", "n1"];
    match random.below(100) {
        0..35 => Value::int(random.below(20) as i64 - 5),
        35..50 => Value::int(*random.pick(&ints)),
        50..65 => Value::double(*random.pick(&doubles)).expect("finite"),
        65..70 => Value::double(random.below(40) as f64 / 4.0 - 3.0).expect("finite"),
        70..80 => {
            Value::Date(Date::from_ms(random.below(6) as i64 * 1_000 - 2_000).expect("about 1970"))
        }
        80..92 => Value::from(*random.pick(&texts)),
        92..95 => Value::Boolean(random.chance(50)),
        _ => Value::Ref(node(random.below(8))),
    }
}

fn bound(random: &mut Random, values: &[Value]) -> Value {
    match values {
        [_, ..] if random.chance(60) => random.pick(values).clone(),
        _ => value(random),
    }
}

fn query(random: &mut Random, values: &[Value]) -> (String, Vec<Input>) {
    let (low, high) = (bound(random, values), bound(random, values));
    let function =
        |random: &mut Random| one_of(random, &["<", "<=", ">", ">=", "<", ">", "=", "!="]);
    let (one, two) = (function(random), function(random));
    let attribute = one_of(random, &["n/any", "n/any", "n/size"]);
    let find = one_of(random, &["?e ?v", "?v", "?e", "(count ?v)", "(min ?v) (max ?v)"]);
    let fact = format!("[?e :{attribute} ?v]");
    match random.below(12) {
        0 | 1 => (format!("[:find {find} :where {fact} [({one} ?v {low})]]"), Vec::new()),
        2 | 3 => (
            format!("[:find {find} :where {fact} [({one} ?v {low})] [({two} ?v {high})]]"),
            Vec::new(),
        ),
        4 => (format!("[:find {find} :where {fact} [(< {low} ?v {high})]]"), Vec::new()),
        5 => (format!("[:find {find} :where {fact} [(>= {low} ?v {high})]]"), Vec::new()),
        6 => (
            format!("[:find {find} :in ?low :where {fact} [({one} ?low ?v)]]"),
            vec![Input::Scalar(low)],
        ),
        7 => {
            let n_bounds = random.below(4);
            let bounds = (0..n_bounds).map(|_| bound(random, values)).collect();
            let text = format!("[:find ?b {find} :in [?b ...] :where {fact} [({one} ?v ?b)]]");
            (text, vec![Input::Collection(bounds)])
        }
        8 => (
            format!(
                "[:find ?v ?w :where {fact} [?e :n/size ?w] [({one} ?v ?w)] [({two} ?w {low})]]"
            ),
            Vec::new(),
        ),
        9 => (
            format!("[:find {find} :where {fact} (not [?e :n/any ?w] [({one} ?w ?v)])]"),
            Vec::new(),
        ),
        10 => (
            format!(
                "[:find {find} :where (within ?e ?v {high}) :rules [[(within ?e ?v ?h) {fact} \
                 [(< {low} ?v)] [(ground {high}) ?h] [({one} ?v ?h)]]]]"
            ),
            Vec::new(),
        ),
        _ => (
            format!("[:find {find} :where {fact} (or [({one} ?v {low})] [({two} ?v {high})])]"),
            Vec::new(),
        ),
    }
}
