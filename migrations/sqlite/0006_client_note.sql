-- What is to be known of a client of `/mcp` from one call to the next.
CREATE TABLE client_note (
    client     BLOB PRIMARY KEY,               -- SHA-256 of its token's and its agent's ids
    note       TEXT NOT NULL,                  -- JSON
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX client_note_expiry ON client_note (expires_at);
