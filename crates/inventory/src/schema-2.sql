-- Version 2: what the files of a destination are called. Until now there was one way.
ALTER TABLE destination ADD COLUMN layout TEXT NOT NULL DEFAULT 'docker'
    CHECK (layout IN ('docker', 'dind', 'buildkitd', 'registry'));
