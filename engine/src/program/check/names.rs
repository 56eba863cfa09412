//! Names: variables by the name they have in a body, and what a wrong name may have meant.

use std::collections::BTreeMap;

use crate::ids::Name;
use crate::program::{Scope, Var};

/// The variables that can be seen in one body, by name.
pub(super) type Names = BTreeMap<Name, Var>;

/// A new variable of this name.
pub(super) fn declare(name: &Name, scope: &mut Scope, names: &mut Names) -> Var {
    let var = Var(scope.names.len() as u32);
    scope.names.push(name.clone());
    names.insert(name.clone(), var);
    var
}

/// The variable of this name, new if it is not known here.
pub(super) fn resolve(name: &Name, scope: &mut Scope, names: &mut Names) -> Var {
    match names.get(name) {
        Some(var) => *var,
        None => declare(name, scope, names),
    }
}

/// The names inside a body that shares only `join` with the outside.
pub(super) fn inner_names(
    join: &[Name],
    scope: &mut Scope,
    names: &mut Names,
) -> (Vec<Var>, Names) {
    let mut inner = Names::new();
    let mut vars = Vec::new();
    for name in join {
        let var = resolve(name, scope, names);
        if inner.insert(name.clone(), var).is_none() {
            vars.push(var);
        }
    }
    (vars, inner)
}

/// The known name that is nearest to a wrong one, if it is near enough to be meant.
pub(crate) fn nearest<'n>(wrong: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = 1 + wrong.chars().count() / 4;
    known
        .map(|name| (edit_distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
