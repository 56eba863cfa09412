//! Dates: their parts, and arithmetic in the calendar.
//!
//! Everything is in UTC and in the proleptic Gregorian calendar; there are no leap seconds, so
//! units up to the week are fixed numbers of milliseconds. Months differ, and are counted in the
//! calendar: a day that a month does not have becomes its last one. A result outside the range of
//! dates is no result.

use jiff::civil;

use super::{date, integer, string};
use crate::program::functions::{Function, Unit};
use crate::value::{Date, Value};

const DAY_MS: i64 = 86_400_000;
/// 1970 began on a Thursday, three days after a Monday.
const MONDAY_MS: i64 = -3 * DAY_MS;

pub(super) fn call(function: Function, args: &[Value]) -> Option<Value> {
    use Function::*;
    if function == DateOfMs {
        return Date::from_ms(integer(&args[0])?).ok().map(Value::Date);
    }
    let date = date(&args[0])?;
    let unit = |index: usize| Unit::find(string(&args[index])?);
    match function {
        AddTime => add(date, integer(&args[1])?, unit(2)?).map(Value::Date),
        TimeBetween => between(date, super::date(&args[1])?, unit(2)?).map(Value::int),
        Truncate => truncate(date, unit(1)?).map(Value::Date),
        _ => Some(Value::int(part(function, date))),
    }
}

/// Days since 1970, and milliseconds since midnight.
fn split(date: Date) -> (i64, i64) {
    (date.ms().div_euclid(DAY_MS), date.ms().rem_euclid(DAY_MS))
}

fn day_of(date: Date) -> civil::Date {
    let epoch = civil::date(1970, 1, 1);
    let days = jiff::Span::new().days(split(date).0);
    epoch.checked_add(days).expect("dates are in the calendar's range")
}

/// The first moment of a day.
fn midnight(day: civil::Date) -> i64 {
    let days = day - civil::date(1970, 1, 1);
    i64::from(days.get_days()) * DAY_MS
}

fn part(function: Function, date: Date) -> i64 {
    let ms = split(date).1;
    match function {
        Function::Year => day_of(date).year().into(),
        Function::Month => day_of(date).month().into(),
        Function::Day => day_of(date).day().into(),
        Function::Weekday => day_of(date).weekday().to_monday_one_offset().into(),
        Function::DayOfYear => day_of(date).day_of_year().into(),
        Function::Hour => ms / 3_600_000,
        Function::Minute => ms / 60_000 % 60,
        Function::Second => ms / 1_000 % 60,
        Function::Millisecond => ms % 1_000,
        Function::MsOfDate => date.ms(),
        _ => unreachable!("{function:?} is no part of a date"),
    }
}

/// How long a unit is: in milliseconds, or in months.
enum Length {
    Ms(i64),
    Months(i64),
}

fn length(unit: Unit) -> Length {
    match unit {
        Unit::Millisecond => Length::Ms(1),
        Unit::Second => Length::Ms(1_000),
        Unit::Minute => Length::Ms(60_000),
        Unit::Hour => Length::Ms(3_600_000),
        Unit::Day => Length::Ms(DAY_MS),
        Unit::Week => Length::Ms(7 * DAY_MS),
        Unit::Month => Length::Months(1),
        Unit::Quarter => Length::Months(3),
        Unit::Year => Length::Months(12),
    }
}

fn add(date: Date, n: i64, unit: Unit) -> Option<Date> {
    match length(unit) {
        Length::Ms(ms) => Date::from_ms(date.ms().checked_add(n.checked_mul(ms)?)?).ok(),
        Length::Months(months) => add_months(date, n.checked_mul(months)?),
    }
}

fn add_months(date: Date, n: i64) -> Option<Date> {
    let months = jiff::Span::new().try_months(n).ok()?;
    let day = day_of(date).checked_add(months).ok()?;
    Date::from_ms(midnight(day) + split(date).1).ok()
}

/// The greatest number of units from the earlier to the later that does not go beyond it.
fn between(from: Date, to: Date, unit: Unit) -> Option<i64> {
    match length(unit) {
        Length::Ms(ms) => Some((to.ms() - from.ms()) / ms),
        Length::Months(months) => {
            let (earlier, later) = (from.min(to), from.max(to));
            let n = |date: Date| {
                let day = day_of(date);
                i64::from(day.year()) * 12 + i64::from(day.month())
            };
            let mut n_months = n(later) - n(earlier);
            if add_months(earlier, n_months).is_none_or(|date| date > later) {
                n_months -= 1;
            }
            let n_units = n_months / months;
            Some(if from <= to { n_units } else { -n_units })
        }
    }
}

fn truncate(date: Date, unit: Unit) -> Option<Date> {
    let ms = match length(unit) {
        Length::Ms(length) => {
            let origin = if unit == Unit::Week { MONDAY_MS } else { 0 };
            (date.ms() - origin).div_euclid(length) * length + origin
        }
        Length::Months(months) => {
            let day = day_of(date);
            let month = (i64::from(day.month()) - 1) / months * months + 1;
            midnight(civil::date(day.year(), month as i8, 1))
        }
    };
    Date::from_ms(ms).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Date {
        Date::parse(text).expect("a date")
    }

    #[test]
    fn months_end_where_they_end() {
        let cases = [
            ("2024-01-31", 1, Unit::Month, Some("2024-02-29")),
            ("2023-01-31", 1, Unit::Month, Some("2023-02-28")),
            ("2024-02-29", 1, Unit::Year, Some("2025-02-28")),
            ("2024-02-29T12:00:00Z", -1, Unit::Quarter, Some("2023-11-29T12:00:00Z")),
            ("1970-01-01", -1, Unit::Millisecond, Some("1969-12-31T23:59:59.999Z")),
            ("9999-12-01", 1, Unit::Month, None),
            ("2024-01-01", i64::MAX, Unit::Week, None),
            ("2024-01-01", i64::MIN, Unit::Year, None),
        ];
        for (date, n, unit, expected) in cases {
            assert_eq!(add(at(date), n, unit), expected.map(at), "{date} + {n} {unit:?}");
        }
    }

    #[test]
    fn differences_are_whole_units() {
        let cases = [
            ("2024-01-31", "2024-02-29", Unit::Month, 1),
            ("2024-01-31", "2024-03-30", Unit::Month, 1),
            ("2024-03-30", "2024-01-31", Unit::Month, -1),
            ("2000-02-29", "2024-02-28", Unit::Year, 23),
            ("2024-01-01", "2023-12-31T00:00:00.001Z", Unit::Day, 0),
            ("2024-01-01", "2023-12-31", Unit::Day, -1),
        ];
        for (from, to, unit, expected) in cases {
            assert_eq!(between(at(from), at(to), unit), Some(expected), "{from} {to}");
        }
        assert_eq!(between(Date::MIN, Date::MAX, Unit::Year), Some(9_998));
    }

    #[test]
    fn weeks_begin_on_monday_also_before_1970() {
        assert_eq!(truncate(at("2024-01-21T23:00:00Z"), Unit::Week), Some(at("2024-01-15")));
        assert_eq!(truncate(at("1969-12-31"), Unit::Week), Some(at("1969-12-29")));
        assert_eq!(truncate(Date::MIN, Unit::Week), Some(Date::MIN));
        assert_eq!(truncate(at("2024-06-30"), Unit::Quarter), Some(at("2024-04-01")));
        assert_eq!(part(Function::Weekday, at("2024-01-21")), 7);
        assert_eq!(part(Function::Hour, at("1969-12-31T23:59:59.999Z")), 23);
    }
}
