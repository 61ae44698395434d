//! Moving cursors: when many agents acknowledge at once, one statement does it for all of them.

use std::collections::{HashMap, HashSet};

use meshwire_protocol::{AgentId, MeshId, MessageId};

use super::cache::Effect;
use super::writer::Tx;
use super::{decode, is_transient, store_error};
use crate::store::{Move, Position, Result};

/// Where a cursor is; `None` when there is no such agent.
pub(super) type Moved = Result<Option<MessageId>>;

/// Where a cursor is to go.
#[derive(Debug, Clone)]
pub(super) struct CursorMove {
    pub(super) mesh: MeshId,
    pub(super) agent: AgentId,
    pub(super) to: MessageId,
    pub(super) how: Move,
}

impl CursorMove {
    fn whose(&self) -> (&MeshId, &AgentId) {
        (&self.mesh, &self.agent)
    }
}

/// Whether no agent is in there twice.
pub(super) fn once_each<R>(moves: &[(CursorMove, R)]) -> bool {
    let mut seen = HashSet::with_capacity(moves.len());
    moves.iter().all(|(to, _)| seen.insert(to.whose()))
}

/// Moves cursors, one after the other where they are of the same agent; where each of them is then. An error means that
/// the transaction is of no use any more; a move that fails by itself fails alone.
pub(super) async fn move_all<R>(
    tx: &mut Tx,
    moves: &[(CursorMove, R)],
) -> sqlx::Result<Vec<Moved>> {
    let mut cursors: Vec<Moved> = moves.iter().map(|_| Ok(None)).collect();
    let mut rest: Vec<usize> = (0..moves.len()).collect();
    while !rest.is_empty() {
        let mut seen = HashSet::with_capacity(rest.len());
        let (now, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|&place| seen.insert(moves[place].0.whose()));
        let these: Vec<_> = now.iter().map(|&place| &moves[place].0).collect();
        for (place, cursor) in now.into_iter().zip(move_each(tx, &these).await?) {
            cursors[place] = cursor;
        }
        rest = later;
    }
    Ok(cursors)
}

/// Moves cursors, each of another agent, together if that goes.
async fn move_each(tx: &mut Tx, moves: &[&CursorMove]) -> sqlx::Result<Vec<Moved>> {
    match move_together(tx, moves).await {
        Ok(cursors) => return Ok(cursors.into_iter().map(Ok).collect()),
        Err(error) if is_transient(&error) => return Err(error),
        Err(_) => {}
    }
    let mut cursors = Vec::with_capacity(moves.len());
    for one in moves {
        cursors.push(match move_together(tx, &[one]).await {
            Ok(mut cursor) => Ok(cursor.remove(0)),
            Err(error) if is_transient(&error) => return Err(error),
            Err(error) => Err(store_error(error)),
        });
    }
    Ok(cursors)
}

/// Moves cursors, each of another agent, never beyond the heads; where they are then.
async fn move_together(tx: &mut Tx, moves: &[&CursorMove]) -> sqlx::Result<Vec<Option<MessageId>>> {
    let rows: Vec<_> =
        moves.iter().map(|to| (&to.mesh, &to.agent, to.to, to.how == Move::Acknowledge)).collect();
    let rows = serde_json::to_string(&rows).expect("text and numbers make JSON");
    let rows = sqlx::query(
        "UPDATE agent SET cursor = CASE WHEN j.acknowledges THEN max(cursor, j.to_id) ELSE j.to_id END
         FROM (SELECT value ->> 0 AS mesh, value ->> 1 AS agent, min(value ->> 2, mesh.head) AS to_id,
                      value ->> 3 AS acknowledges
               FROM jsonb_each(?1) JOIN mesh ON mesh.id = value ->> 0 AND mesh.deleted_at IS NULL) AS j
         WHERE agent.mesh_id = j.mesh AND agent.id = j.agent
         RETURNING start, handed, cursor, agent.mesh_id, agent.id",
    )
    .bind(rows)
    .fetch_all(&mut tx.conn)
    .await?;
    let mut positions: HashMap<(MeshId, AgentId), Position> = HashMap::with_capacity(rows.len());
    for row in rows {
        let whose = (decode::parsed(&row, 3)?, decode::parsed(&row, 4)?);
        positions.insert(whose, decode::position(&row)?);
    }
    let cursor = |to: &&CursorMove| {
        let whose = (to.mesh.clone(), to.agent.clone());
        positions.get(&whose).map(|position| position.cursor)
    };
    let cursors = moves.iter().map(cursor).collect();
    let effects = positions.into_iter();
    tx.effects.extend(effects.map(|((mesh, agent), at)| Effect::Position(mesh, agent, at)));
    Ok(cursors)
}
