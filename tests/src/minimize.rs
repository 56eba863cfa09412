//! Making a failing case small, greedily, so that a person can read it.
//!
//! Not clever: it tries each smaller case in turn and starts again from the first that still
//! fails. What "smaller" means is said by the kind of case.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Runs something that may panic, without the panic's message; its message otherwise.
///
/// # Errors
/// The message, when it panics.
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let was_quiet = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(was_quiet);
    result.map_err(|payload| match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast::<&str>().map_or(String::new(), |text| text.to_string()),
    })
}

/// A smallest case, by steps of `smaller`, that still fails. A panic counts as a failure.
pub fn minimize<Case>(
    case: Case,
    smaller: impl Fn(&Case) -> Vec<Case>,
    fails: impl Fn(&Case) -> bool,
) -> Case {
    let fails = |case: &Case| catch(|| fails(case)).unwrap_or(true);
    let mut smallest = case;
    while let Some(next) = smaller(&smallest).into_iter().find(&fails) {
        smallest = next;
    }
    smallest
}

/// The lists with a part left out: halves first, then quarters, down to single items; down to a
/// hundredth of a long list, whose single items have their turn when it has become shorter.
pub fn shorter<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let mut lists = Vec::new();
    let mut n_out = items.len();
    while n_out > items.len() / 100 {
        for start in (0..items.len()).step_by(n_out) {
            let end = (start + n_out).min(items.len());
            lists.push([&items[..start], &items[end..]].concat());
        }
        n_out /= 2;
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fails = |list: &Vec<u32>| list.contains(&7) && list.contains(&3);
        let list = minimize((0..100).collect(), |list| shorter(list), fails);
        assert_eq!(list, [3, 7]);
    }
}
