-- One-time links for accounts, accounts that an invite made, and sign-in on computers without a browser.

DELETE FROM code WHERE kind = 'setup';         -- the server prints a new link when it starts

CREATE TABLE account_link (
    hash       BLOB PRIMARY KEY,
    purpose    TEXT NOT NULL,                  -- first, add, reset
    login      TEXT NOT NULL,                  -- whose; '' for the first account, whose login is chosen
    expires_at INTEGER NOT NULL,
    UNIQUE (purpose, login)
) STRICT;
CREATE INDEX account_link_expiry ON account_link (expires_at);

-- Who came through an invite has chosen the login alone; nobody who runs the server stands for it.
ALTER TABLE user ADD COLUMN by_invite INTEGER NOT NULL DEFAULT 0;

CREATE TABLE device_code (
    hash         BLOB PRIMARY KEY,             -- SHA-256 of what the computer holds
    user_code    BLOB NOT NULL UNIQUE,         -- SHA-256 of what the person types
    client       TEXT NOT NULL,                -- the client_id that asked
    host         TEXT NOT NULL,                -- the computer, as it named itself
    address      TEXT,                         -- where the request came from
    token_name   TEXT NOT NULL,                -- of the token to issue
    state        TEXT NOT NULL,                -- pending, approved, denied, used
    user_id      TEXT REFERENCES user (id) ON DELETE CASCADE,
    every        INTEGER NOT NULL,             -- microseconds between polls
    next_poll    INTEGER NOT NULL DEFAULT 0,   -- one before this is too early
    requested_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX device_code_expiry ON device_code (expires_at);
CREATE INDEX device_code_of_user ON device_code (user_id) WHERE user_id IS NOT NULL;
