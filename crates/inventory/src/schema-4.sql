-- Version 4: what is not valid yet, and what nobody trusts any more, is due at once; these find out whether there is any.
CREATE INDEX certificate_by_begin ON certificate (state, not_before);
CREATE INDEX certificate_by_generation ON certificate (state, generation);
