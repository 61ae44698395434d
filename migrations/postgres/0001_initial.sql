-- Times are microseconds since 1970 (UTC). Secrets stand here only as SHA-256. What is ordered or compared is
-- so byte by byte (COLLATE "C"), whatever the language of the database.

CREATE TABLE account (
    id         text COLLATE "C" PRIMARY KEY,
    identity   text COLLATE "C" NOT NULL UNIQUE, -- github:<numeric id> or local:<login at creation>
    login      text COLLATE "C" NOT NULL,
    login_key  text COLLATE "C" NOT NULL UNIQUE, -- the login in lower case
    name       text NOT NULL,
    password   text,                             -- argon2id, PHC string; local accounts only
    -- Who came through an invite has chosen the login alone; nobody who runs the server stands for it.
    by_invite  boolean NOT NULL DEFAULT false,
    created_at bigint NOT NULL
);

CREATE TABLE session (
    hash       bytea PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE,
    user_id    text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    client     text NOT NULL,                    -- the browser, as it named itself
    created_at bigint NOT NULL,
    last_seen  bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX session_of_user ON session (user_id);
CREATE INDEX session_expiry ON session (expires_at);

CREATE TABLE code (
    hash       bytea PRIMARY KEY,
    kind       text NOT NULL,                    -- cli
    user_id    text COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    challenge  text,                             -- PKCE S256
    name       text,                             -- of the token to issue
    used       boolean NOT NULL DEFAULT false,
    token_id   text COLLATE "C",                 -- what it was exchanged for
    expires_at bigint NOT NULL
);
CREATE INDEX code_of_user ON code (user_id);
CREATE INDEX code_expiry ON code (expires_at);

CREATE TABLE account_link (
    hash       bytea PRIMARY KEY,
    purpose    text COLLATE "C" NOT NULL,        -- first, add, reset
    login      text COLLATE "C" NOT NULL,        -- whose; '' for the first account, whose login is chosen
    expires_at bigint NOT NULL,
    UNIQUE (purpose, login)
);
CREATE INDEX account_link_expiry ON account_link (expires_at);

CREATE TABLE device_code (
    hash         bytea PRIMARY KEY,              -- SHA-256 of what the computer holds
    user_code    bytea NOT NULL UNIQUE,          -- SHA-256 of what the person types
    client       text COLLATE "C" NOT NULL,      -- the client_id that asked
    host         text NOT NULL,                  -- the computer, as it named itself
    address      text,                           -- where the request came from
    token_name   text NOT NULL,                  -- of the token to issue
    state        text NOT NULL,                  -- pending, approved, denied, used
    user_id      text COLLATE "C" REFERENCES account (id) ON DELETE CASCADE,
    every        bigint NOT NULL,                -- microseconds between polls
    next_poll    bigint NOT NULL DEFAULT 0,      -- one before this is too early
    requested_at bigint NOT NULL,
    expires_at   bigint NOT NULL
);
CREATE INDEX device_code_expiry ON device_code (expires_at);
CREATE INDEX device_code_of_user ON device_code (user_id) WHERE user_id IS NOT NULL;

-- `head`, `epoch` and `trimmed` are the head row of the mesh's log. Whoever appends, or changes who is in the
-- mesh, holds the lock on this row until the commit.
CREATE TABLE mesh (
    id         text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    paused     boolean NOT NULL DEFAULT false,
    epoch      bigint NOT NULL DEFAULT 1,
    head       bigint NOT NULL DEFAULT 0,
    trimmed    bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL,
    deleted_at bigint                            -- gone for everyone; its messages go in bounded steps
) WITH (fillfactor = 50);
CREATE INDEX mesh_deleted ON mesh (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE member (
    mesh_id   text COLLATE "C" NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    user_id   text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    role      text NOT NULL,
    joined_at bigint NOT NULL,
    PRIMARY KEY (mesh_id, user_id)
);
CREATE INDEX member_of ON member (user_id, mesh_id);

-- `start`, `handed` and `cursor` are the delivery state of everything that the agent receives.
CREATE TABLE agent (
    mesh_id      text COLLATE "C" NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    id           text COLLATE "C" NOT NULL,
    name         text NOT NULL,
    name_key     text COLLATE "C" NOT NULL,      -- the name in lower case
    kind         text NOT NULL,
    user_id      text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    harness      text,
    host         text,
    description  text,
    capabilities text NOT NULL DEFAULT '[]',
    wake         text NOT NULL DEFAULT 'poll',
    start        bigint NOT NULL,
    handed       bigint NOT NULL,
    cursor       bigint NOT NULL,
    last_seen    bigint,
    -- When it last read its inbox: for a while after that, what it has not acknowledged is kept for it.
    last_read    bigint,
    created_at   bigint NOT NULL,
    PRIMARY KEY (mesh_id, id),
    UNIQUE (mesh_id, name_key)
) WITH (fillfactor = 70);
CREATE INDEX agent_of_user ON agent (user_id);

CREATE TABLE token (
    hash         bytea PRIMARY KEY,
    id           text COLLATE "C" NOT NULL UNIQUE,
    suffix       text NOT NULL,
    user_id      text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name         text NOT NULL,
    scopes       text NOT NULL,
    mesh_id      text COLLATE "C",               -- outlives its mesh, so that its end can be told
    agent_id     text COLLATE "C",
    created_at   bigint NOT NULL,
    last_used_at bigint,
    expires_at   bigint,
    revoked_at   bigint
) WITH (fillfactor = 70);
CREATE INDEX token_of_user ON token (user_id);
CREATE INDEX token_of_mesh ON token (mesh_id, agent_id) WHERE mesh_id IS NOT NULL;
CREATE INDEX token_revoked ON token (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE invite (
    id         text COLLATE "C" PRIMARY KEY,
    mesh_id    text COLLATE "C" NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    hash       bytea NOT NULL UNIQUE,            -- SHA-256 of the code
    login_key  text COLLATE "C",                 -- for this login alone, in lower case
    created_by text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    max_uses   bigint NOT NULL,
    uses       bigint NOT NULL DEFAULT 0
);
CREATE INDEX invite_of_mesh ON invite (mesh_id, login_key);
CREATE INDEX invite_of_user ON invite (created_by);
CREATE INDEX invite_expiry ON invite (expires_at);

CREATE TABLE join_request (
    mesh_id      text COLLATE "C" NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    user_id      text COLLATE "C" NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    requested_at bigint NOT NULL,
    refused_at   bigint,                         -- may ask again a day later
    PRIMARY KEY (mesh_id, user_id)
);
CREATE INDEX join_request_of_user ON join_request (user_id);
CREATE INDEX join_request_refused ON join_request (refused_at) WHERE refused_at IS NOT NULL;

-- Without a reference to its mesh, which would be looked up for every row: a mesh goes after its messages.
CREATE TABLE message (
    mesh_id    text COLLATE "C" NOT NULL,
    id         bigint NOT NULL,
    stream     text COLLATE "C" NOT NULL,        -- all, agent:<id>
    batch      bigint NOT NULL,                  -- random; says whether a batch of unknown outcome is there
    follows    bigint NOT NULL,                  -- the head before its batch
    size       bigint NOT NULL,                  -- bytes of content and metadata, as a page counts them
    from_agent text COLLATE "C" NOT NULL,
    from_name  text NOT NULL,
    from_user  text NOT NULL,
    from_kind  text NOT NULL,
    via        text NOT NULL,
    to_name    text NOT NULL,
    content    text NOT NULL,
    metadata   text NOT NULL,
    hops       bigint NOT NULL,
    PRIMARY KEY (mesh_id, id)
);
CREATE INDEX message_in_stream ON message (mesh_id, stream, id);

CREATE TABLE sent_key (
    mesh_id     text COLLATE "C" NOT NULL,
    agent_id    text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    message_id  bigint NOT NULL,
    expires_at  bigint NOT NULL,
    PRIMARY KEY (mesh_id, agent_id, key)
);
CREATE INDEX sent_key_expiry ON sent_key (expires_at);

-- What nodes tell each other. Lost with a crash of the database without harm to anything but the moment.
CREATE TABLE ended (
    id       bigint PRIMARY KEY,                 -- random
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    token_id text COLLATE "C",                   -- a token was revoked
    mesh_id  text COLLATE "C"                    -- somebody was removed from a mesh, or the mesh is gone
);
CREATE INDEX ended_lately ON ended (at);

CREATE UNLOGGED TABLE node (
    id    bigint PRIMARY KEY,                    -- random
    until timestamptz NOT NULL                   -- what it says of its polls is true until then
);
CREATE UNLOGGED TABLE polling (
    mesh_id text COLLATE "C" NOT NULL,
    node_id bigint NOT NULL,
    agents  text[] NOT NULL,
    PRIMARY KEY (mesh_id, node_id)
);
CREATE INDEX polling_of_node ON polling (node_id);
