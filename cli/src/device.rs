//! Signing in without a browser here: a code that is typed into a browser elsewhere (RFC 8628).

use std::time::Duration;

use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{
    CLI_CLIENT_ID, DEVICE_GRANT_TYPE, DeviceCodeRequest, DeviceTokenAnswer, DeviceTokenRequest,
};
use tokio::time::Instant;

use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::host::host_name;
use crate::output::{Style, note};

/// By how much the server's `slow_down` lengthens the time between polls (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// Longest time between polls while the server is out of reach.
const LONGEST: Duration = Duration::from_mins(1);
/// Longest that we wait for a person, whatever the server says.
const PATIENCE: Duration = Duration::from_hours(1);

/// Shows a code, and waits until somebody has decided.
pub(crate) async fn sign_in(client: &Client) -> Outcome<DeviceTokenAnswer> {
    let request =
        DeviceCodeRequest { client_id: Some(CLI_CLIENT_ID.to_owned()), host: host_name() };
    let begun = client.device_code(&request).await?;
    let until = Instant::now() + Duration::from_secs(begun.expires_in).min(PATIENCE);
    let style = Style::for_stderr();
    note("To sign in, open this page in a browser on any computer or phone:");
    note(&format!("  {}", clean_line(&begun.verification_uri)));
    note("and type this code there:");
    note(&format!("  {}\n", style.bold(&clean_line(&begun.user_code))));
    note(&format!(
        "Waiting for you; the code is good for {} minutes. Ctrl+C ends it.",
        begun.expires_in.div_ceil(60)
    ));

    let request = DeviceTokenRequest {
        grant_type: Some(DEVICE_GRANT_TYPE.to_owned()),
        device_code: Some(begun.device_code),
        client_id: Some(CLI_CLIENT_ID.to_owned()),
    };
    let client = client.impatient();
    let mut between = Duration::from_secs(begun.interval.clamp(1, PATIENCE.as_secs()));
    let mut pause = between;
    let mut lost = None;
    loop {
        if Instant::now() + pause >= until {
            tokio::time::sleep_until(until).await;
            let late = || Failure::refused("the code has run out before anybody has decided");
            return Err(lost.unwrap_or_else(late).or_hint(AGAIN));
        }
        tokio::time::sleep(pause).await;
        let failure = match client.device_token(&request).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        match failure.oauth_error() {
            Some("authorization_pending") => {
                lost = None;
                pause = between;
            }
            Some("slow_down") => {
                lost = None;
                between += SLOWER;
                pause = between;
            }
            Some(_) => return Err(Failure::refused(failure.message()).hint(AGAIN)),
            None if failure.is_transient() => {
                if lost.is_none() {
                    note(&format!("{}, trying again", clean_line(failure.message())));
                }
                // "Clients MUST unilaterally reduce their polling frequency" (RFC 8628 section 3.5).
                let told = failure.retry_after().unwrap_or_default().min(PATIENCE);
                pause = (pause * 2).min(LONGEST).max(between).max(told);
                lost = Some(failure);
            }
            None => return Err(failure),
        }
    }
}

const AGAIN: &str = "run `meshwire login --device` again";
