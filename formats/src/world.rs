//! The demo's own data set: countries, their land borders, capitals, languages and currencies.
//!
//! The tables lie in `data/world`, hand-maintained, and are built into the program, so that the
//! demo needs no file and no download. What they count as a border, and how they were compiled,
//! is in `data/world/README.md`. This reader checks what a table can get wrong: borders that are
//! told on one side only, unknown regions, two cities with one id. Left out: everything that
//! changes with the news, except a rounded number of people.
//!
//! ```text
//! country:es  country/name "Spain"            country/capital  → city:madrid      city/name
//!             country/code "ES"               country/region   → region:southern-europe
//!             country/population 47900000     country/continent → continent:europe
//!             country/borders  → country:fr … country/language → language:spanish language/name
//!             country/currency → currency:eur   currency/code, currency/name
//! ```

use std::collections::BTreeMap;

use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

use crate::error::{FormatError, Place};

const COUNTRIES: &str = include_str!("../../data/world/countries.txt");
const REGIONS: &str = include_str!("../../data/world/regions.txt");
const CURRENCIES: &str = include_str!("../../data/world/currencies.txt");

/// The whole data set: some 3,000 operations, all `set` and `add`, the same each time, no fact
/// twice; what others refer to comes first.
///
/// # Example: the neighbours of Portugal
/// ```
/// let borders = tercet_formats::world::ops().into_iter().filter(|op| {
///     op.entity().as_str() == "country:pt"
///         && op.attribute().is_some_and(|attribute| attribute.as_str() == "country/borders")
/// });
/// let neighbours: Vec<String> =
///     borders.filter_map(|op| Some(op.value()?.to_string())).collect();
/// assert_eq!(neighbours, ["#ref \"country:es\""]);
/// ```
pub fn ops() -> Vec<Op> {
    read(COUNTRIES, REGIONS, CURRENCIES).expect("the tables are built in, and a test reads them")
}

fn read(countries: &str, regions: &str, currencies: &str) -> Result<Vec<Op>, FormatError> {
    let countries = table("countries.txt", countries, Country::parse)?;
    let regions = table("regions.txt", regions, |[name, continent]| Some((name, continent)))?;
    let currencies = table("currencies.txt", currencies, |[code, name]| Some((code, name)))?;
    check_references(&countries, &regions, &currencies)?;
    check_borders(&countries)?;
    let mut facts = Facts::default();
    for row in &regions {
        facts.tell_region(row)?;
    }
    for row in &currencies {
        facts.tell_currency(row)?;
    }
    for row in &countries {
        facts.tell_city_and_languages(row)?;
    }
    let continents: BTreeMap<&str, &str> = regions.iter().map(|row| row.item).collect();
    for row in &countries {
        facts.tell_country(row, continents[row.item.region])?;
    }
    Ok(facts.ops)
}

/// A line of a table.
struct Row<Item> {
    at: Place,
    item: Item,
}

impl<Item> Row<Item> {
    fn wrong(&self, message: String) -> FormatError {
        malformed(self.at.clone(), message)
    }
}

struct Country<'table> {
    code: &'table str,
    name: &'table str,
    capital: &'table str,
    region: &'table str,
    population: i64,
    languages: Vec<&'table str>,
    currencies: Vec<&'table str>,
    neighbours: Vec<&'table str>,
}

impl<'table> Country<'table> {
    fn parse(fields: [&'table str; 8]) -> Option<Self> {
        let [code, name, capital, region, population, languages, currencies, neighbours] = fields;
        Some(Country {
            code,
            name,
            capital,
            region,
            population: population.parse().ok()?,
            languages: languages.split(", ").collect(),
            currencies: currencies.split(", ").collect(),
            neighbours: neighbours.split_ascii_whitespace().collect(),
        })
    }
}

/// The rows of a table: fields between `|`, comments from `#`, the last fields may be empty.
fn table<'table, Item, const N_FIELDS: usize>(
    file: &str,
    text: &'table str,
    parse: impl Fn([&'table str; N_FIELDS]) -> Option<Item>,
) -> Result<Vec<Row<Item>>, FormatError> {
    let mut rows = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = Place { line: Some(number), ..Place::input(file) };
        let mut fields: Vec<&str> = line.split('|').map(str::trim).collect();
        if fields.len() + 1 == N_FIELDS {
            fields.push("");
        }
        match fields.try_into().ok().and_then(&parse) {
            Some(item) => rows.push(Row { at, item }),
            None => return Err(malformed(at, format!("`{line}` is no row of {file}"))),
        }
    }
    Ok(rows)
}

fn check_references(
    countries: &[Row<Country<'_>>],
    regions: &[Row<(&str, &str)>],
    currencies: &[Row<(&str, &str)>],
) -> Result<(), FormatError> {
    let known = |rows: &[Row<(&str, &str)>], name: &str| rows.iter().any(|row| row.item.0 == name);
    for row in countries {
        if !known(regions, row.item.region) {
            return Err(row.wrong(format!("there is no region `{}`", row.item.region)));
        }
        if let Some(code) = row.item.currencies.iter().find(|code| !known(currencies, code)) {
            return Err(row.wrong(format!("there is no currency `{code}`")));
        }
    }
    Ok(())
}

fn check_borders(countries: &[Row<Country<'_>>]) -> Result<(), FormatError> {
    let by_code: BTreeMap<&str, &Country<'_>> =
        countries.iter().map(|row| (row.item.code, &row.item)).collect();
    for row in countries {
        let code = row.item.code;
        for neighbour in &row.item.neighbours {
            let Some(other) = by_code.get(neighbour) else {
                return Err(row.wrong(format!("{code} borders {neighbour}, which is no country")));
            };
            if *neighbour == code {
                return Err(row.wrong(format!("{code} borders itself")));
            }
            if !other.neighbours.contains(&code) {
                let message = format!("{code} borders {neighbour}, but {neighbour} not {code}");
                return Err(row.wrong(message));
            }
        }
    }
    Ok(())
}

/// Facts told so far, and the entities with their names, to find two that share an id.
#[derive(Default)]
struct Facts {
    ops: Vec<Op>,
    names: BTreeMap<EntityId, String>,
}

impl Facts {
    fn tell_region(&mut self, row: &Row<(&str, &str)>) -> Result<(), FormatError> {
        let (name, continent) = row.item;
        let continent = self.named(&row.at, "continent", continent)?;
        let region = self.named(&row.at, "region", name)?;
        self.set(&region, "region/continent", continent);
        Ok(())
    }

    fn tell_currency(&mut self, row: &Row<(&str, &str)>) -> Result<(), FormatError> {
        let (code, name) = row.item;
        let currency = self.entity(&row.at, "currency", code, name)?;
        self.set(&currency, "currency/code", code);
        Ok(())
    }

    fn tell_city_and_languages(&mut self, row: &Row<Country<'_>>) -> Result<(), FormatError> {
        self.named(&row.at, "city", row.item.capital)?;
        for language in &row.item.languages {
            self.named(&row.at, "language", language)?;
        }
        Ok(())
    }

    fn tell_country(&mut self, row: &Row<Country<'_>>, continent: &str) -> Result<(), FormatError> {
        let (at, country) = (&row.at, &row.item);
        let id = self.entity(at, "country", country.code, country.name)?;
        self.set(&id, "country/code", country.code);
        self.set(&id, "country/population", country.population);
        self.set(&id, "country/capital", entity_id(at, "city", country.capital)?);
        self.set(&id, "country/region", entity_id(at, "region", country.region)?);
        self.set(&id, "country/continent", entity_id(at, "continent", continent)?);
        for language in &country.languages {
            self.add(&id, "country/language", entity_id(at, "language", language)?);
        }
        for currency in &country.currencies {
            self.add(&id, "country/currency", entity_id(at, "currency", currency)?);
        }
        for neighbour in &country.neighbours {
            self.add(&id, "country/borders", entity_id(at, "country", neighbour)?);
        }
        Ok(())
    }

    /// An entity called after its name.
    fn named(&mut self, at: &Place, kind: &str, name: &str) -> Result<EntityId, FormatError> {
        self.entity(at, kind, name, name)
    }

    /// The entity of a key; tells its name when it is new.
    fn entity(
        &mut self,
        at: &Place,
        kind: &str,
        key: &str,
        name: &str,
    ) -> Result<EntityId, FormatError> {
        let id = entity_id(at, kind, key)?;
        match self.names.get(&id) {
            None => {
                self.names.insert(id.clone(), name.to_owned());
                self.set(&id, &format!("{kind}/name"), name);
            }
            Some(other) if other != name => {
                let message = format!("`{name}` and `{other}` have one id, {id}");
                return Err(malformed(at.clone(), message));
            }
            // Languages and continents are met again and again; a city, currency, country or
            // region has its own row.
            Some(_) if matches!(kind, "language" | "continent") => {}
            Some(_) => return Err(malformed(at.clone(), format!("`{name}` comes twice"))),
        }
        Ok(id)
    }

    fn set(&mut self, e: &EntityId, a: &str, v: impl Into<Value>) {
        self.ops.push(Op::Set { e: e.clone(), a: attribute(a), v: v.into() });
    }

    fn add(&mut self, e: &EntityId, a: &str, v: impl Into<Value>) {
        self.ops.push(Op::Add { e: e.clone(), a: attribute(a), v: v.into() });
    }
}

fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("the vocabulary is written as type/field")
}

/// `city:washington-d-c`: the kind and the text in lower case, words joined by `-`.
fn entity_id(at: &Place, kind: &str, text: &str) -> Result<EntityId, FormatError> {
    let text = text.to_lowercase().replace('\'', "");
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    EntityId::new(format!("{kind}:{}", words.join("-")))
        .map_err(|error| malformed(at.clone(), error.to_string()))
}

fn malformed(at: Place, message: String) -> FormatError {
    FormatError::Malformed { at, code: "malformed", message, hint: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    /// The values of a field, as text; refs without their mark.
    fn values(ops: &[Op], entity: &str, field: &str) -> Vec<String> {
        let mut found: Vec<String> = ops
            .iter()
            .filter(|op| op.entity().as_str() == entity)
            .filter(|op| op.attribute().unwrap().as_str() == field)
            .map(|op| match op.value().unwrap() {
                Value::Ref(id) => id.to_string(),
                Value::String(text) => text.to_string(),
                other => other.to_string(),
            })
            .collect();
        found.sort();
        found
    }

    fn neighbours(ops: &[Op], code: &str) -> String {
        let found = values(ops, &format!("country:{code}"), "country/borders");
        found.join(" ").replace("country:", "")
    }

    fn reachable(ops: &[Op], from: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![from.to_owned()];
        while let Some(code) = waiting.pop() {
            for next in neighbours(ops, &code).split_whitespace() {
                if found.insert(next.to_owned()) {
                    waiting.push(next.to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn every_country_is_whole() {
        let ops = ops();
        let countries: Vec<&str> = ops
            .iter()
            .filter(|op| op.attribute().unwrap().as_str() == "country/code")
            .map(|op| op.entity().as_str())
            .collect();
        assert_eq!(countries.len(), 197);
        for country in countries {
            for field in ["name", "code", "population", "capital", "region", "continent"] {
                let field = format!("country/{field}");
                assert_eq!(values(&ops, country, &field).len(), 1, "{country} {field}");
            }
            for field in ["language", "currency"] {
                let field = format!("country/{field}");
                assert!(!values(&ops, country, &field).is_empty(), "{country} {field}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_fact_comes_twice() {
        let ops = ops();
        let entities: BTreeSet<_> = ops.iter().map(|op| op.entity().clone()).collect();
        for op in &ops {
            if let Some(Value::Ref(id)) = op.value() {
                assert!(entities.contains(id), "{id}");
            }
        }
        let facts: BTreeSet<_> =
            ops.iter().map(|op| (op.entity(), op.attribute(), op.value())).collect();
        assert_eq!(facts.len(), ops.len());
    }

    #[test]
    fn every_currency_and_region_is_used() {
        let ops = ops();
        let used: BTreeSet<String> = ops
            .iter()
            .filter(|op| op.entity().as_str().starts_with("country:"))
            .filter_map(|op| op.value())
            .map(ToString::to_string)
            .collect();
        for kind in ["currency/code", "region/continent"] {
            for op in ops.iter().filter(|op| op.attribute().unwrap().as_str() == kind) {
                assert!(used.contains(&format!("#ref \"{}\"", op.entity())), "{}", op.entity());
            }
        }
    }

    #[test]
    fn borders_as_known() {
        let ops = ops();
        for (code, expected) in [
            ("es", "ad fr pt"),
            ("pt", "es"),
            ("fr", "ad be ch de es it lu mc"),
            ("gb", "ie"),
            ("ie", "gb"),
            ("de", "at be ch cz dk fr lu nl pl"),
            ("it", "at ch fr si sm va"),
            ("us", "ca mx"),
            ("br", "ar bo co gy pe py sr uy ve"),
            ("za", "bw ls mz na sz zw"),
            ("zm", "ao bw cd mw mz na tz zw"),
            ("rs", "ba bg hr hu me mk ro xk"),
            ("tr", "am az bg ge gr iq ir sy"),
            ("ps", "eg il jo"),
            ("kp", "cn kr ru"),
            ("kr", "kp"),
            ("id", "my pg tl"),
            ("ht", "do"),
        ] {
            assert_eq!(neighbours(&ops, code), expected, "{code}");
        }
        for code in ["cn", "ru"] {
            assert_eq!(neighbours(&ops, code).split(' ').count(), 14, "{code}");
        }
        for island in ["is", "jp", "cu", "au", "nz", "mg", "lk", "cy", "mt", "ph", "sg", "bh", "tw"]
        {
            assert_eq!(neighbours(&ops, island), "", "{island}");
        }
    }

    #[test]
    fn the_continents_hang_together_as_they_do() {
        let ops = ops();
        let from_portugal = reachable(&ops, "pt");
        assert_eq!(from_portugal.len(), 131);
        for there in ["za", "cn", "kr", "sg", "in", "gb", "us"] {
            let expected = !matches!(there, "sg" | "gb" | "us");
            assert_eq!(from_portugal.contains(there), expected, "{there}");
        }
        assert_eq!(reachable(&ops, "ca").len(), 22);
        assert_eq!(reachable(&ops, "gb").len(), 2);
        assert_eq!(reachable(&ops, "jp").len(), 0);
    }

    #[test]
    fn facts_as_known() {
        let ops = ops();
        assert_eq!(values(&ops, "country:us", "country/capital"), ["city:washington-d-c"]);
        assert_eq!(values(&ops, "city:ndjamena", "city/name"), ["N'Djamena"]);
        assert_eq!(values(&ops, "city:yaoundé", "city/name"), ["Yaoundé"]);
        assert_eq!(values(&ops, "country:ch", "country/language").len(), 4);
        assert_eq!(values(&ops, "country:bg", "country/currency"), ["currency:eur"]);
        assert_eq!(values(&ops, "currency:eur", "currency/name"), ["euro"]);
        assert_eq!(values(&ops, "country:jp", "country/continent"), ["continent:asia"]);
        assert_eq!(
            values(&ops, "region:caribbean", "region/continent"),
            ["continent:north-america"]
        );
    }

    #[test]
    fn a_wrong_table_is_refused_with_its_line() {
        let error = |countries: &str| {
            let regions = "R | C\n";
            read(countries, regions, "XXX | coin").unwrap_err().to_string()
        };
        let row = |code: &str, neighbours: &str| {
            format!("{code} | N{code} | K{code} | R | 1 | L | XXX | {neighbours}\n")
        };
        assert_eq!(error(&row("AA", "BB")), "countries.txt:1: AA borders BB, which is no country");
        assert_eq!(error(&row("AA", "AA")), "countries.txt:1: AA borders itself");
        assert_eq!(
            error(&(row("AA", "") + &row("BB", "AA"))),
            "countries.txt:2: BB borders AA, but AA not BB"
        );
        assert_eq!(error("# c\nAA | A"), "countries.txt:2: `AA | A` is no row of countries.txt");
        assert_eq!(
            error("AA | A | K | S | 1 | L | XXX"),
            "countries.txt:1: there is no region `S`"
        );
        assert_eq!(
            error("AA | A | K | R | 1 | L | YYY"),
            "countries.txt:1: there is no currency `YYY`"
        );
        assert_eq!(
            error("AA | A | K | R | 1 | L | XXX\nBB | B | K | R | 1 | L | XXX"),
            "countries.txt:2: `K` comes twice"
        );
        assert_eq!(
            error("AA | A | K x | R | 1 | L | XXX\nBB | B | K-x | R | 1 | L | XXX"),
            "countries.txt:2: `K-x` and `K x` have one id, city:k-x"
        );
    }
}
