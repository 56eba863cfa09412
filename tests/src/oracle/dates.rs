//! The calendar, by counting days from the year 1.

use num_bigint::BigInt;
use num_traits::ToPrimitive;
use tercet_engine::value::Date;

/// The units of time.
pub(super) const UNITS: [&str; 9] =
    ["millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

const DAY_MS: i64 = 86_400_000;
/// Days from the first of January of the year 1, a Monday, to that of 1970.
const DAYS_TO_1970: i64 = 719_162;

fn n_days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn n_days_of_year(year: i64) -> i64 {
    (1..=12).map(|month| n_days(year, month)).sum()
}

/// Year, month, day of a date, and the milliseconds of its day.
fn civil(date: Date) -> (i64, i64, i64, i64) {
    let mut days = date.ms().div_euclid(DAY_MS) + DAYS_TO_1970;
    let mut year = 1 + days / 146_097 * 400;
    days %= 146_097;
    while days >= n_days_of_year(year) {
        days -= n_days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= n_days(year, month) {
        days -= n_days(year, month);
        month += 1;
    }
    (year, month, days + 1, date.ms().rem_euclid(DAY_MS))
}

fn from_civil((year, month, day, ms): (i64, i64, i64, i64)) -> Option<Date> {
    if !(1..=9999).contains(&year) {
        return None;
    }
    let cycles = (year - 1) / 400;
    let years = (cycles * 400 + 1..year).map(n_days_of_year).sum::<i64>();
    let months = (1..month).map(|month| n_days(year, month)).sum::<i64>();
    let days = cycles * 146_097 + years + months + day - 1 - DAYS_TO_1970;
    Date::from_ms(days * DAY_MS + ms).ok()
}

/// A part of a date, by the name of its function.
pub(super) fn part(function: &str, date: Date) -> i64 {
    let (year, month, day, ms) = civil(date);
    match function {
        "year" => year,
        "month" => month,
        "day" => day,
        "hour" => ms / 1000 / 60 / 60,
        "minute" => ms / 1000 / 60 % 60,
        "second" => ms / 1000 % 60,
        "millisecond" => ms % 1000,
        "weekday" => (date.ms().div_euclid(DAY_MS) + DAYS_TO_1970) % 7 + 1,
        "day-of-year" => (1..month).map(|month| n_days(year, month)).sum::<i64>() + day,
        "date->ms" => date.ms(),
        _ => panic!("no part {function}"),
    }
}

/// Milliseconds of a unit, if it always has as many.
fn fixed_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "millisecond" => 1,
        "second" => 1_000,
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => DAY_MS,
        "week" => 7 * DAY_MS,
        _ => return None,
    })
}

fn n_months(unit: &str) -> i64 {
    match unit {
        "month" => 1,
        "quarter" => 3,
        _ => 12,
    }
}

/// So many units later.
pub(super) fn add(date: Date, n: i64, unit: &str) -> Option<Date> {
    if let Some(ms) = fixed_ms(unit) {
        let sum = BigInt::from(date.ms()) + BigInt::from(n) * ms;
        return Date::from_ms(sum.to_i64()?).ok();
    }
    let (year, month, day, ms) = civil(date);
    let months = BigInt::from(year * 12 + month - 1) + BigInt::from(n) * n_months(unit);
    let months = months.to_i64()?;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    from_civil((year, month, day.min(n_days(year, month)), ms))
}

/// How many whole units lie between two dates; negative where the second is the earlier one.
pub(super) fn between(from: Date, to: Date, unit: &str) -> i64 {
    if from > to {
        return -between(to, from, unit);
    }
    if let Some(ms) = fixed_ms(unit) {
        return (to.ms() - from.ms()) / ms;
    }
    let fits = |n: i64| add(from, n, unit).is_some_and(|date| date <= to);
    let (mut fit, mut unfit) = (0, 200_000);
    while unfit - fit > 1 {
        let middle = (fit + unfit) / 2;
        if fits(middle) {
            fit = middle;
        } else {
            unfit = middle;
        }
    }
    fit
}

/// The first moment of the unit that a date lies in.
pub(super) fn truncate(date: Date, unit: &str) -> Option<Date> {
    let (year, month, day, ms) = civil(date);
    match unit {
        "year" => from_civil((year, 1, 1, 0)),
        "quarter" => from_civil((year, [1, 4, 7, 10][(month as usize - 1) / 3], 1, 0)),
        "month" => from_civil((year, month, 1, 0)),
        "week" => {
            let monday = date.ms() - (part("weekday", date) - 1) * DAY_MS - ms;
            Date::from_ms(monday).ok()
        }
        _ => {
            let unit_ms = fixed_ms(unit).expect("all others have a length");
            from_civil((year, month, day, ms - ms % unit_ms))
        }
    }
}
