-- When an agent last read its inbox: for a while after that, what it has not acknowledged is kept for it.
-- NULL: never, and then its registration counts.
ALTER TABLE agent ADD COLUMN last_read INTEGER;
-- Until now only the last sign of life of any kind was written: the nearest that is known.
UPDATE agent SET last_read = last_seen;

-- Tokens that have ended are known for a while, so that their holders are told what is wrong.
CREATE INDEX token_revoked ON token (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;
