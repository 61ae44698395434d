//! What each code means and what to do about it, for the documentation. The matches are exhaustive, so that a new
//! code does not compile without its texts. What stands between backquotes is code.

use super::ErrorCode;

impl ErrorCode {
    /// When it is answered.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::InvalidRequest => {
                "Something in the request breaks a rule: a field or query parameter that is missing, unknown or out \
                 of range, or a body that is no JSON. `errors` names each field with its reason."
            }
            Self::MessageTooLarge => {
                "The content is longer than 10,240 bytes of UTF-8, or the metadata longer than 4,096 bytes."
            }
            Self::InvalidGrant => {
                "A code of the sign-in is unknown, used up or too old, or its PKCE verifier is another one. Links \
                 that set up an account answer it too."
            }
            Self::Unauthorized => {
                "The request has no token, or one that this server has not issued. Other servers have other tokens."
            }
            Self::TokenExpired => "The token had a last day, and that is over.",
            Self::TokenRevoked => {
                "Somebody has revoked the token, or what it was bound to is gone: its agent, its mesh, or the \
                 membership of its user. It is said for at least 30 days; later the token is `unauthorized`."
            }
            Self::InsufficientScope => {
                "The token is good, but too narrow: it lacks a scope, or is bound to a mesh or an agent where an \
                 unbound one is needed, or was asked to make a token wider than itself."
            }
            Self::NotAMember => "The mesh exists, and you are not in it.",
            Self::NotYourAgent => {
                "The agent belongs to another member; or the token is bound to another agent than the one that it \
                 speaks or reads as."
            }
            Self::Forbidden => {
                "Your role in the mesh is too low for this, or it is something that nobody may do, such as \
                 renaming a person's own agent."
            }
            Self::OriginRefused => {
                "A form came from another site, or was made for another session or too long ago. Programs meet \
                 this when they talk to pages rather than to the API."
            }
            Self::NotFound => "There is nothing at this path.",
            Self::MeshNotFound => {
                "There is no mesh with this id, it was deleted, or the token is bound to another mesh."
            }
            Self::AgentNotFound => "No agent of the mesh has this id or name, or it was removed.",
            Self::MessageNotFound => {
                "There is no such message, retention has removed it, or it is not for you to see."
            }
            Self::TokenNotFound => "You have no live token with this id.",
            Self::MemberNotFound => "Nobody with this login is a member of the mesh.",
            Self::InviteNotFound => "The invite never existed, or was withdrawn.",
            Self::RequestNotFound => {
                "This person has not asked to join, or somebody has decided already."
            }
            Self::MethodNotAllowed => {
                "The path exists, but takes other methods; `Allow` lists them."
            }
            Self::RequestTimeout => {
                "The request did not arrive whole in time: 10 s for the header and 13 s for the body, unless the \
                 operator has set others. The connection is closed."
            }
            Self::AgentNameTaken => {
                "Another member has an agent of this name in the mesh; upper and lower case count as the same."
            }
            Self::OwnerMustStay => {
                "The owner tried to leave or to take a lower role, and a mesh needs one."
            }
            Self::MeshPaused => {
                "An admin has paused the mesh: it takes no messages. Reading goes on."
            }
            Self::LimitReached => {
                "You have as many meshes, agents, tokens or invites as this server allows. `detail` says of what."
            }
            Self::NoAgentOnline => {
                "Nobody with the role that was addressed is there. It is kept for roles, which come later: today \
                 no call answers it."
            }
            Self::InviteExpired => {
                "The invite has run out, or as many people as it was for have used it."
            }
            Self::PayloadTooLarge => {
                "The body is larger than the server reads: 131,072 bytes, unless the operator has set another size."
            }
            Self::IdempotencyKeyReused => {
                "This agent has used the `Idempotency-Key` within 24 hours, for a message with other fields."
            }
            Self::RateLimited => {
                "Too much in too short a time: sends of a token or to a mesh, open polls, unknown tokens or \
                 sign-ins from one address, connections; or asking to join within 24 hours of a refusal."
            }
            Self::LoopSuspected => {
                "Two agents answer each other: the thread is more than 100 replies deep without a person, or there \
                 were more than 60 replies between them within a minute."
            }
            Self::HeadersTooLarge => {
                "The request line and the header have more than 32,768 bytes or 64 fields, unless the operator has \
                 set others."
            }
            Self::InternalError => "A fault of ours. The server's log has its cause.",
            Self::StoreUnavailable => {
                "The database does not answer just now. Whatever was answered before is safe."
            }
        }
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::InvalidRequest => {
                "Correct the fields that `errors` names. The page of the call lists what it takes."
            }
            Self::MessageTooLarge => {
                "Put the text where both sides can read it, and send a path, a link or an id."
            }
            Self::InvalidGrant => {
                "Begin the sign-in again: `meshwire login`. Ask for a new link where it was one."
            }
            Self::Unauthorized => {
                "Run `meshwire login`, or set `MESHWIRE_TOKEN`. `meshwire doctor` says which token is used, and \
                 for which server."
            }
            Self::TokenExpired => {
                "Make another: `meshwire token create`, or `meshwire login` for your own computer."
            }
            Self::TokenRevoked => {
                "Make another token when you are meant to have one, and put it where the old one was."
            }
            Self::InsufficientScope => {
                "`GET /me` shows what a token may do. Use a wider one, or make one that has the scope."
            }
            Self::NotAMember => {
                "Ask to be let in: `meshwire mesh join ID`. An admin decides with `meshwire mesh approve LOGIN`."
            }
            Self::NotYourAgent => {
                "Name an agent of your own, or use a token that is not bound to another one."
            }
            Self::Forbidden => {
                "Ask an admin or the owner; `meshwire mesh members` shows who that is."
            }
            Self::OriginRefused => "Go back, reload the page, and send the form again.",
            Self::NotFound => {
                "Compare the path with the reference of the API. There are no trailing slashes."
            }
            Self::MeshNotFound => {
                "`meshwire mesh list` shows your meshes. Look at `.mesh.json` and `MESHWIRE_MESH_ID` for an old id."
            }
            Self::AgentNotFound => {
                "`meshwire agents` shows who is here. An agent must be registered before it can be written to; \
                 `meshwire listen --agent NAME` does so."
            }
            Self::MessageNotFound => "`meshwire history` shows the messages that you may see.",
            Self::TokenNotFound => "`meshwire token list` shows your tokens and their ids.",
            Self::MemberNotFound => "`meshwire mesh members` lists the logins.",
            Self::InviteNotFound => "Ask an admin of the mesh for another invite.",
            Self::RequestNotFound => "`meshwire mesh requests` shows who waits for an answer.",
            Self::MethodNotAllowed => "Use one of the methods in `Allow`.",
            Self::RequestTimeout => "Send it again over a new connection.",
            Self::AgentNameTaken => {
                "Choose another name. `meshwire init` does so by itself: it adds your login to the name."
            }
            Self::OwnerMustStay => {
                "Make somebody else the owner first: `meshwire mesh role LOGIN owner`."
            }
            Self::MeshPaused => "Wait, or ask an admin to run `meshwire mesh resume`.",
            Self::LimitReached => {
                "Remove what you do not need any more. Whoever runs the server can raise the limit, which the hint \
                 names."
            }
            Self::NoAgentOnline => "Write to an agent by its name: the message then waits for it.",
            Self::InviteExpired => "Ask an admin of the mesh for a new one.",
            Self::PayloadTooLarge => "Send less at a time.",
            Self::IdempotencyKeyReused => {
                "Take a new key for each message, and the same one only to repeat exactly the same request."
            }
            Self::RateLimited => {
                "Wait for as many seconds as `Retry-After` says, then go on. Keep one poll for each agent."
            }
            Self::LoopSuspected => {
                "Let a person look at what these two agents are doing. A message of a person, or one that is no \
                 reply, begins anew."
            }
            Self::HeadersTooLarge => "Send fewer or shorter header fields, and a shorter query.",
            Self::InternalError => {
                "Try once more. When it stays, give `request_id` to whoever runs the server."
            }
            Self::StoreUnavailable => {
                "Send the same request again after `Retry-After` seconds, with the same `Idempotency-Key`. Our \
                 clients do."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ErrorCode;

    #[test]
    fn texts_are_sentences_with_whole_pieces_of_code() {
        for code in ErrorCode::ALL {
            for text in [code.meaning(), code.advice()] {
                assert!(text.ends_with('.'), "{text}");
                assert_eq!(text.matches('`').count() % 2, 0, "{text}");
                assert!(!text.contains("  "), "{text}");
            }
        }
    }
}
