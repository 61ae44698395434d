-- What is to be known of a client of `/mcp` from one call to the next, on whichever nodes they come.
CREATE TABLE client_note (
    client     bytea PRIMARY KEY,                -- SHA-256 of its token's and its agent's ids
    note       text NOT NULL,                    -- JSON
    expires_at bigint NOT NULL
);
CREATE INDEX client_note_expiry ON client_note (expires_at);
