-- Who may come into a mesh. A withdrawn invite is deleted.

CREATE TABLE invite (
    id         TEXT PRIMARY KEY,
    mesh_id    TEXT NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE,           -- SHA-256 of the code
    login_key  TEXT,                           -- for this login alone, in lower case
    created_by TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses   INTEGER NOT NULL,
    uses       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX invite_of_mesh ON invite (mesh_id, login_key);
CREATE INDEX invite_of_user ON invite (created_by);
CREATE INDEX invite_expiry ON invite (expires_at);

CREATE TABLE join_request (
    mesh_id      TEXT NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    requested_at INTEGER NOT NULL,
    refused_at   INTEGER,                      -- may ask again a day later
    PRIMARY KEY (mesh_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX join_request_of_user ON join_request (user_id);
CREATE INDEX join_request_refused ON join_request (refused_at) WHERE refused_at IS NOT NULL;
