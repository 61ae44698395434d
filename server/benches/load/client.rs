//! Who sends: the same for the service and its peers.

/// Bytes of a message.
pub(crate) const BODY: usize = 256;

/// One connection that sends one message after the other.
pub(crate) trait Client {
    /// Sends a message and waits until it was answered.
    async fn send(&mut self);
}

/// The text of a message with a number in it.
pub(crate) fn content(number: usize) -> String {
    format!("{:x<BODY$}", format!("{}{number} ", str::from_utf8(NUMBER).unwrap_or_default()))
}

/// What stands before the number of a message.
pub(crate) const NUMBER: &[u8] = b"seq=";
