-- Version 3: 1 while what is pending is to be followed by a command. Once it is delivered, that command is due.
ALTER TABLE destination ADD COLUMN command_follows INTEGER NOT NULL DEFAULT 0 CHECK (command_follows IN (0, 1));
