//! Coming into the mesh of a project.

use meshwire_protocol::{ErrorCode, JoinStatus, MeshId};

use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::output::note;

/// Sees to it that the user is a member. A teammate who has just cloned the project is none: who was
/// invited comes in, anyone else asks to.
pub(super) async fn come_in(client: &Client, mesh: &MeshId) -> Outcome<()> {
    match client.mesh(mesh).await {
        Err(failure) if failure.is(ErrorCode::NotAMember) => {}
        other => return other.map(drop),
    }
    match client.join(mesh, None).await {
        Ok(joined) if joined.status == JoinStatus::Member => {
            note(&format!("You were invited, and are a member of mesh {mesh} now."));
            Ok(())
        }
        Ok(_) => {
            let login = client.me().await?.user.login;
            Err(Failure::refused(format!(
                "you are not a member of mesh {mesh} yet: we have asked to let you in, and nothing \
                 was written"
            ))
            .hint(format!(
                "when an admin has run `meshwire mesh approve {login} --mesh {mesh}`, run \
                 `meshwire init` again"
            )))
        }
        Err(failure) if failure.is(ErrorCode::RateLimited) => Err(Failure::refused(format!(
            "you are not a member of mesh {mesh}, and an admin has refused to let you in"
        ))
        .hint("ask one of its admins for an invite, or try again tomorrow")),
        Err(failure) => Err(failure),
    }
}
