//! What may stand in the log at all, whatever its filter says.

use tracing::Metadata;

/// Whether a place in the code may write to the log. The MCP library writes requests and answers whole, and the
/// content of a message never stands in a log.
pub fn may_write(place: &Metadata<'_>) -> bool {
    !place.target().starts_with("rmcp")
}
