//! When a request is sent again. Never one that could then be done twice.

use std::time::Duration;

use meshwire_protocol::ErrorCode;

use super::{Answer, Call, Client, Refusal};
use crate::failure::{Failure, Outcome};
use crate::output::note;

/// Pauses before an attempt is repeated, when the server says nothing.
pub(crate) const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// A server that is just starting refuses connections; one that is not there refuses them too, and the
/// user should soon know.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);
const CONNECT_RETRIES: usize = 2;

/// The server may ask for this much patience in all.
const LONGEST_PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn patiently(client: &Client, call: &Call<'_>) -> Outcome<Answer> {
    let mut refused = 0;
    let mut repeated = 0;
    let mut patience = LONGEST_PATIENCE;
    loop {
        let pause = match client.attempt(call).await {
            Ok(answer) => return Ok(answer),
            Err(Refusal::Connect(failure)) if refused == CONNECT_RETRIES => return Err(failure),
            Err(Refusal::Connect(_)) => {
                refused += 1;
                CONNECT_PAUSE
            }
            Err(Refusal::Lost(failure)) => {
                let pause = next_pause(call, &mut repeated).ok_or(failure)?;
                note("the connection broke, trying again");
                pause
            }
            Err(Refusal::TimedOut(failure)) => {
                // It has cost half a minute: once more, for what must not be lost.
                let pause = if call.key.is_some() && repeated == 0 {
                    repeated = PAUSES.len();
                    PAUSES[0]
                } else {
                    return Err(failure);
                };
                note("no answer in time, trying once more");
                pause
            }
            Err(Refusal::Answered(status, failure)) => {
                let told = failure.retry_after();
                let pause = match status.as_u16() {
                    // Refused before anything was done, so that any request may come again.
                    429 if !failure.is(ErrorCode::LoopSuspected) => match told {
                        Some(told) => counted(told, &mut repeated),
                        None => next_pause(call, &mut repeated),
                    },
                    502..=504 => match told {
                        Some(told) if call.is_repeatable() => counted(told, &mut repeated),
                        _ => next_pause(call, &mut repeated),
                    },
                    _ => None,
                };
                match pause.filter(|pause| *pause <= patience) {
                    Some(pause) => {
                        patience -= pause;
                        note(&format!("the server is busy, trying again in {} s", pause.as_secs()));
                        pause
                    }
                    None => return Err(with_wait(failure, told)),
                }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn next_pause(call: &Call<'_>, repeated: &mut usize) -> Option<Duration> {
    if !call.is_repeatable() {
        return None;
    }
    let pause = PAUSES.get(*repeated).copied();
    *repeated += 1;
    pause
}

fn counted(told: Duration, repeated: &mut usize) -> Option<Duration> {
    *repeated += 1;
    (*repeated <= PAUSES.len()).then_some(told)
}

fn with_wait(failure: Failure, told: Option<Duration>) -> Failure {
    match told {
        Some(told) => failure.or_hint(format!("try again in {} s", told.as_secs())),
        None => failure,
    }
}
