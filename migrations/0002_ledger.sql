-- The books: entries that balance, are added once, and never change. Enforced here, whoever writes.

CREATE TABLE journal_entries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_type  text NOT NULL,
    source_id    text NOT NULL,
    kind         text NOT NULL,
    lines        smallint NOT NULL CHECK (lines >= 2),
    organizer    text,
    event        text,
    order_id     text,
    effective_at timestamptz NOT NULL,
    booked_at    timestamptz NOT NULL,
    description  text NOT NULL,
    UNIQUE (source_type, source_id, kind)
);
CREATE INDEX journal_entries_order ON journal_entries (order_id) WHERE order_id IS NOT NULL;

CREATE TABLE journal_postings (
    entry    bigint NOT NULL REFERENCES journal_entries,
    line     smallint NOT NULL CHECK (line >= 1),
    account  text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount   bigint NOT NULL CHECK (amount <> 0),     -- debit +, credit −
    event    text,
    section  text,                                    -- the statement line it counts in
    PRIMARY KEY (entry, line),
    CHECK (right(account, 4) = ':' || currency)
);
CREATE INDEX journal_postings_account ON journal_postings (account, entry);

-- Balanced per currency and complete, seen once per statement: an entry's postings come with it or not at all.
CREATE FUNCTION journal_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT entry INTO wrong FROM added GROUP BY entry, currency HAVING sum(amount) <> 0 LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'journal entry % does not balance', wrong USING ERRCODE = 'check_violation';
    END IF;
    SELECT a.entry INTO wrong FROM (SELECT entry, count(*) AS n, max(line) AS last FROM added GROUP BY entry) a
        JOIN journal_entries e ON e.id = a.entry WHERE a.n <> e.lines OR a.last <> e.lines LIMIT 1;
    IF found THEN
        RAISE EXCEPTION 'journal entry % does not come with all its postings', wrong USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER balanced AFTER INSERT ON journal_postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION journal_balanced();

CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: correct an entry by its mirror' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_entries
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_postings
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only();

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fm_app') THEN
        GRANT SELECT, INSERT ON journal_entries, journal_postings TO fm_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO fm_app;
    END IF;
END $$;
