-- Version 3: 1 while what is pending is to be followed by a command. Once it is delivered, that command is due.
ALTER TABLE destination ADD COLUMN command_follows INTEGER NOT NULL DEFAULT 0 CHECK (command_follows IN (0, 1));
-- 1 where a person said what time it was: such a run says nothing of the machine's clock.
ALTER TABLE run ADD COLUMN time_given INTEGER NOT NULL DEFAULT 0 CHECK (time_given IN (0, 1));
