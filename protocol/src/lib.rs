//! What the MeshWire server and its clients say to each other.
//!
//! Both sides use these types, so that a name, a limit or an error code cannot drift apart: the server
//! checks requests with them and writes answers from them, the command line does the reverse. Nothing in
//! here touches the network, a clock or a disk.
//!
//! ```
//! use meshwire_protocol::{Address, SendMessage};
//!
//! let send: SendMessage = serde_json::from_str(r#"{"content":"hello","to":"agent-b"}"#).unwrap();
//! assert_eq!(send.to.as_deref().map(Address::parse), Some(Ok(Address::Name("agent-b"))));
//! ```

mod account;
mod agents;
pub mod clean;
mod device;
mod error;
mod ids;
pub mod limits;
mod members;
mod meshes;
mod messages;
mod names;
mod rules;
#[cfg(feature = "openapi")]
pub mod schemas;
mod token;
#[cfg(feature = "tools")]
pub mod tools;
mod unique;
mod whole;

pub use account::{
    CliTokenAnswer, CliTokenRequest, CreateToken, CreatedToken, Me, MeToken, MeUser, Scope,
    TokenInfo, TokenList, UserLogin,
};
pub use agents::{Agent, AgentKind, AgentList, RegisterAgent, Registered, UpdateAgent, Wake};
pub use device::{
    CLI_CLIENT_ID, DEVICE_GRANT_TYPE, DeviceCodeAnswer, DeviceCodeRequest, DeviceTokenAnswer,
    DeviceTokenRequest, OauthProblem,
};
pub use error::{ErrorCode, Problem};
pub use ids::{AgentId, InvalidId, MeshId, MessageId, TokenId, UserId};
pub use members::{
    ChangeMember, CreateInvite, CreatedInvite, Decide, Decided, Invite, InviteList, Join,
    JoinRequest, JoinRequestList, JoinStatus, Joined, Member, MemberList,
};
pub use meshes::{CreateMesh, Health, Mesh, MeshList, Role, UpdateMesh};
pub use messages::{
    Cursor, CursorTarget, Delivery, DeliveryState, From, History, HistoryQuery, InboxPage,
    InboxQuery, Message, MessageStatus, Recipients, SendMessage, Sent, SetCursor, Via,
};
pub use names::{
    Address, AddressError, Harness, InvalidName, check_agent_name, check_capability, check_login,
    check_mesh_name, check_printable, is_invisible, person_name,
};
pub use rules::rule;
pub use token::{InvalidToken, TOKEN_LENGTH, TOKEN_PREFIX, check_token, finish_token, mask_token};
