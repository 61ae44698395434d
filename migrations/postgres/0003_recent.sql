-- Other nodes hear of the agents that have given a sign of life a moment ago, too.
ALTER TABLE polling ADD COLUMN recent text[] NOT NULL DEFAULT '{}';
