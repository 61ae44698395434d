//! What time it is by the engine, which says so in the `Date` of each answer (RFC 9110, section 6.6.1).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use tokio::time::Instant;

use crate::clock::{micros, system_micros};
use crate::store::Micros;

/// How long an answer is believed against later ones that tell of an earlier time.
const BELIEVED: Duration = Duration::from_secs(10);

/// The clock of the engine, not more than about a second behind it: a `Date` has whole seconds. It does not matter
/// what this computer's clock says, nor when it is set.
#[derive(Debug, Clone, Default)]
pub(super) struct EngineClock(Arc<Mutex<Option<Heard>>>);

/// What an answer has told.
#[derive(Debug, Clone, Copy)]
struct Heard {
    date: Micros,
    at: Instant,
}

impl Heard {
    fn now(self) -> Micros {
        self.date.saturating_add(micros(self.at.elapsed()))
    }
}

impl EngineClock {
    /// Microseconds since 1970; by this computer while the engine has said nothing.
    pub(super) fn now(&self) -> Micros {
        self.told().unwrap_or_else(system_micros)
    }

    /// The same, if the engine has ever said so.
    pub(super) fn told(&self) -> Option<Micros> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(Heard::now)
    }

    /// Takes in a date. Each is too early, by the part of the second that is cut off and by the time that the answer
    /// was under way: the one that tells of the latest time is nearest the truth.
    fn hear(&self, date: Micros) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_nearer =
            heard.is_some_and(|heard| heard.at.elapsed() < BELIEVED && heard.now() >= date);
        if !is_nearer {
            *heard = Some(Heard { date, at: Instant::now() });
        }
    }
}

impl Intercept for EngineClock {
    fn name(&self) -> &'static str {
        "EngineClock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date {
            self.hear(date.secs().saturating_mul(1_000_000));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;
    const NOON: Micros = 1_700_000_000 * SECOND;

    #[tokio::test(start_paused = true)]
    async fn it_goes_by_what_tells_of_the_latest_time() {
        let clock = EngineClock::default();
        assert_eq!(clock.told(), None);
        clock.hear(NOON);
        tokio::time::advance(Duration::from_millis(700)).await;
        assert_eq!(clock.now(), NOON + 700_000);
        // Of the same second, and so no news; of the next one, which has begun.
        clock.hear(NOON);
        assert_eq!(clock.now(), NOON + 700_000);
        clock.hear(NOON + SECOND);
        assert_eq!(clock.now(), NOON + SECOND);
        // An answer that was long under way.
        clock.hear(NOON - 2 * SECOND);
        assert_eq!(clock.now(), NOON + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_an_engine_whose_clock_is_set() {
        let clock = EngineClock::default();
        clock.hear(NOON + 3_600 * SECOND);
        tokio::time::advance(BELIEVED).await;
        clock.hear(NOON);
        assert_eq!(clock.now(), NOON);
    }
}
