-- Times are microseconds since 1970 (UTC). Secrets stand here only as SHA-256.

CREATE TABLE user (
    id         TEXT PRIMARY KEY,
    identity   TEXT NOT NULL UNIQUE,           -- github:<numeric id> or local:<login at creation>
    login      TEXT NOT NULL,
    login_key  TEXT NOT NULL UNIQUE,           -- the login in lower case
    name       TEXT NOT NULL,
    password   TEXT,                           -- argon2id, PHC string; local accounts only
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    hash       BLOB PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    user_id    TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    client     TEXT NOT NULL,                  -- the browser, as it named itself
    created_at INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_of_user ON session (user_id);

CREATE TABLE code (
    hash       BLOB PRIMARY KEY,
    kind       TEXT NOT NULL,                  -- setup, cli
    user_id    TEXT REFERENCES user (id) ON DELETE CASCADE,
    challenge  TEXT,                           -- cli: PKCE S256
    name       TEXT,                           -- cli: name of the token to issue
    used       INTEGER NOT NULL DEFAULT 0,
    token_id   TEXT,                           -- cli: what it was exchanged for
    expires_at INTEGER NOT NULL
) STRICT;

-- `head`, `epoch` and `trimmed` are the head row of the mesh's log.
CREATE TABLE mesh (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0,
    epoch      INTEGER NOT NULL DEFAULT 1,
    head       INTEGER NOT NULL DEFAULT 0,
    trimmed    INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER                         -- gone for everyone; its messages go in bounded steps
) STRICT;
CREATE INDEX mesh_deleted ON mesh (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE member (
    mesh_id   TEXT NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    user_id   TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    role      TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (mesh_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_of ON member (user_id, mesh_id);

-- `start`, `handed` and `cursor` are the delivery state of everything that the agent receives.
CREATE TABLE agent (
    mesh_id      TEXT NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    name_key     TEXT NOT NULL,                -- the name in lower case
    kind         TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    harness      TEXT,
    host         TEXT,
    description  TEXT,
    capabilities TEXT NOT NULL DEFAULT '[]',
    wake         TEXT NOT NULL DEFAULT 'poll',
    start        INTEGER NOT NULL,
    handed       INTEGER NOT NULL,
    cursor       INTEGER NOT NULL,
    last_seen    INTEGER,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (mesh_id, id),
    UNIQUE (mesh_id, name_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    hash         BLOB PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    suffix       TEXT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    mesh_id      TEXT,                         -- outlives its mesh, so that its end can be told
    agent_id     TEXT,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX token_of_user ON token (user_id);
CREATE INDEX token_of_mesh ON token (mesh_id, agent_id) WHERE mesh_id IS NOT NULL;

CREATE TABLE message (
    mesh_id    TEXT NOT NULL REFERENCES mesh (id),
    id         INTEGER NOT NULL,
    stream     TEXT NOT NULL,                  -- all, agent:<id>
    batch      INTEGER NOT NULL,               -- random; says whether a batch of unknown outcome is there
    from_agent TEXT NOT NULL,
    from_name  TEXT NOT NULL,
    from_user  TEXT NOT NULL,
    from_kind  TEXT NOT NULL,
    via        TEXT NOT NULL,
    to_name    TEXT NOT NULL,
    content    TEXT NOT NULL,
    metadata   TEXT NOT NULL,
    hops       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX message_in_order ON message (mesh_id, id);
CREATE INDEX message_in_stream ON message (mesh_id, stream, id);

CREATE TABLE sent_key (
    mesh_id     TEXT NOT NULL,
    agent_id    TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    message_id  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (mesh_id, agent_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_key_expiry ON sent_key (expires_at);
