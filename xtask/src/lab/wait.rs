//! Waiting: always with a limit, and with an error that says what was waited for.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `look` again and again until it has an answer.
///
/// `look` returns `Ok(Err(state))` while it is too early: the last state is part of the error
/// when the limit is reached. An `Err` of its own ends the wait at once.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Result<T, String>>,
) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(100);
    let start = Instant::now();
    loop {
        let state = match look()? {
            Ok(answer) => return Ok(answer),
            Err(state) => state,
        };
        if start.elapsed() > limit {
            bail!(
                "waited {} s for {what}; last seen: {state}",
                limit.as_secs()
            );
        }
        sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_what_was_waited_for_and_what_was_seen() {
        let limit = Duration::from_millis(1);
        let error = until::<()>("the moon", limit, || Ok(Err("clouds".into()))).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("the moon") && error.contains("clouds"),
            "{error}"
        );
    }
}
