//! Cron expressions: minute, hour, day of month, month, day of week; or one of the `@` words.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::collections::BTreeSet;

/// So many days are looked through for the next time: leap days come every eight years at most.
const MOST_DAYS: usize = 8 * 366 + 1;

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    /// Neither kind of day is free: then one of them is enough.
    either_day: bool,
}

impl Schedule {
    /// Reads one; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return None;
        };
        let months = "jan feb mar apr may jun jul aug sep oct nov dec";
        let weekdays = "sun mon tue wed thu fri sat";
        let free = |part: &str| part.starts_with(['*', '?']);
        let mut on = field(weekday, 0, 7, weekdays, 0)?;
        if on.remove(&7) {
            on.insert(0);
        }
        Some(Self {
            minutes: field(minute, 0, 59, "", 0)?,
            hours: field(hour, 0, 23, "", 0)?,
            days: field(day, 1, 31, "", 0)?,
            months: field(month, 1, 12, months, 1)?,
            weekdays: on,
            either_day: !free(day) && !free(weekday),
        })
    }

    /// The first time after `at`, in UTC; `None` when there is none.
    pub(super) fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let start = at.to_zoned(TimeZone::UTC).datetime();
        let minute = start
            .time()
            .with()
            .second(0)
            .subsec_nanosecond(0)
            .build()
            .ok()?;
        let mut date = start.date();
        let mut earliest = Some(minute);
        for _ in 0..MOST_DAYS {
            if self.suits(date)
                && let Some(time) = self.time_after(earliest)
            {
                let found = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
                return Some(found.timestamp());
            }
            date = date.checked_add(1.day()).ok()?;
            earliest = None;
        }
        None
    }

    fn suits(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self
            .weekdays
            .contains(&date.weekday().to_sunday_zero_offset());
        let on = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        self.months.contains(&date.month()) && on
    }

    /// The first time of a day, later than this one.
    fn time_after(&self, earliest: Option<Time>) -> Option<Time> {
        let mut times = self.hours.iter().flat_map(|hour| {
            let minutes = self.minutes.iter();
            minutes.filter_map(move |minute| Time::new(*hour, *minute, 0, 0).ok())
        });
        times.find(|time| earliest.is_none_or(|earliest| *time > earliest))
    }
}

/// The numbers of one field; names count from `first`.
fn field(text: &str, least: i8, most: i8, names: &str, first: i8) -> Option<BTreeSet<i8>> {
    let number = |text: &str| -> Option<i8> {
        let lower = text.to_lowercase();
        let named = names
            .split(' ')
            .position(|name| !name.is_empty() && name == lower);
        let number = match named {
            Some(place) => i8::try_from(place).ok()?.checked_add(first)?,
            None => text.parse().ok()?,
        };
        (least..=most).contains(&number).then_some(number)
    };
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                Some(step.parse::<usize>().ok().filter(|it| *it > 0)?),
            ),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            // A step from one number on goes to the end.
            None => (
                number(range)?,
                if step.is_some() { most } else { number(range)? },
            ),
        };
        if from > to {
            return None;
        }
        all.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_the_one_that_cron_means() {
        for (schedule, from, next) in [
            (
                "*/15 * * * *",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:15:00Z",
            ),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            (
                "30 2 1-7 * mon",
                "2026-01-08T00:00:00Z",
                "2026-01-12T02:30:00Z",
            ),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@hourly", "2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z"),
            (
                "5/20 * * * 7",
                "2026-01-03T23:59:00Z",
                "2026-01-04T00:05:00Z",
            ),
        ] {
            let from: Timestamp = from.parse().unwrap();
            let found = Schedule::parse(schedule).unwrap().after(from).unwrap();
            assert_eq!(found.to_string(), next, "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_none() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@reboot",
            "x * * * *",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
        let never = Schedule::parse("0 0 31 2 *").unwrap();
        assert_eq!(never.after(Timestamp::UNIX_EPOCH), None);
    }
}
