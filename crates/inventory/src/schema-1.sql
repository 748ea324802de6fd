-- Version 1. Moments are seconds since 1970-01-01T00:00:00Z; places and serials are octets.

-- An invocation of the program that changed something.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    user TEXT NOT NULL,
    machine TEXT NOT NULL,
    machine_name TEXT NOT NULL,
    command TEXT NOT NULL
) STRICT;

-- An issuer: the authority, or the one that takes over from it.
CREATE TABLE generation (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE,
    der BLOB NOT NULL,
    crl_number INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE certificate (
    id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL REFERENCES generation (id),
    serial BLOB NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('authority', 'daemon', 'client')),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'issued', 'superseded', 'revoked')),
    reserved_at INTEGER NOT NULL,
    -- From here on: unknown while the serial is only reserved.
    not_before INTEGER,
    not_after INTEGER,
    due_at INTEGER,
    key_holder TEXT CHECK (key_holder IN ('here', 'elsewhere')),
    fingerprint BLOB UNIQUE,
    der BLOB,
    -- The certificate that this one takes the place of.
    predecessor INTEGER REFERENCES certificate (id),
    revoked_at INTEGER,
    reason TEXT,
    UNIQUE (generation, serial),
    CHECK (state = 'reserved' OR der IS NOT NULL),
    CHECK ((state = 'revoked') = (revoked_at IS NOT NULL AND reason IS NOT NULL))
) STRICT;
CREATE INDEX certificate_by_due ON certificate (state, due_at, id);
CREATE INDEX certificate_by_end ON certificate (state, not_after, id);
CREATE INDEX certificate_by_end_alone ON certificate (not_after, id) WHERE state <> 'reserved';
CREATE INDEX certificate_by_serial ON certificate (serial);
CREATE INDEX certificate_revoked ON certificate (generation, revoked_at) WHERE state = 'revoked';

-- Everything by which a certificate may be asked for: its user, or each of a daemon's names.
CREATE TABLE name (
    name TEXT NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificate (id),
    PRIMARY KEY (name, certificate)
) STRICT, WITHOUT ROWID;

-- Where bundles are delivered.
CREATE TABLE destination (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('directory', 'context', 'ssh')),
    machine TEXT NOT NULL,
    machine_name TEXT NOT NULL,
    place BLOB NOT NULL,
    -- The owner and mode that were asked for.
    owner INTEGER,
    owner_group INTEGER,
    key_mode INTEGER,
    -- What is there; what is being put there; what was there before and is kept.
    certificate INTEGER REFERENCES certificate (id),
    pending INTEGER REFERENCES certificate (id),
    previous INTEGER REFERENCES certificate (id),
    delivered_at INTEGER,
    -- 1 while the command that follows a renewal has not succeeded.
    command_due INTEGER NOT NULL DEFAULT 0 CHECK (command_due IN (0, 1)),
    UNIQUE (kind, machine, place)
) STRICT;
CREATE INDEX destination_by_certificate ON destination (certificate);
CREATE INDEX destination_pending ON destination (pending) WHERE pending IS NOT NULL;
CREATE INDEX destination_command_due ON destination (id) WHERE command_due = 1;

-- What happened, in order. Rows are added and never changed.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    certificate INTEGER REFERENCES certificate (id),
    destination INTEGER REFERENCES destination (id),
    detail TEXT
) STRICT;
CREATE INDEX event_by_certificate ON event (certificate);
CREATE INDEX event_by_destination ON event (destination);

CREATE TRIGGER event_unchanged BEFORE UPDATE ON event BEGIN SELECT RAISE (ABORT, 'events are never changed'); END;
CREATE TRIGGER event_kept BEFORE DELETE ON event BEGIN SELECT RAISE (ABORT, 'events are never removed'); END;
CREATE TRIGGER run_unchanged BEFORE UPDATE ON run BEGIN SELECT RAISE (ABORT, 'runs are never changed'); END;
CREATE TRIGGER run_kept BEFORE DELETE ON run BEGIN SELECT RAISE (ABORT, 'runs are never removed'); END;
CREATE TRIGGER serial_kept BEFORE DELETE ON certificate BEGIN SELECT RAISE (ABORT, 'serials are never given back'); END;
