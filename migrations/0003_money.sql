-- What the books are made from: captured payments and what Stripe says of them, refunds with their parts, rates of exchange,
-- payouts, settlements and statements.

-- Captured payments ---------------------------------------------------------------------------------------------------
CREATE TABLE captures (
    id           text PRIMARY KEY,               -- the PaymentIntent
    order_id     text NOT NULL REFERENCES orders,
    kind         text NOT NULL CHECK (kind IN ('sale', 'unmatched')),
    amount       bigint NOT NULL CHECK (amount > 0),
    currency     text NOT NULL,
    charge       text,
    created_at   timestamptz NOT NULL,
    -- its balance transaction, once known; all null until then
    txn          text UNIQUE,
    txn_currency text,
    txn_amount   bigint,
    txn_fee      bigint,
    txn_rate     text,
    recharged    bigint NOT NULL DEFAULT 0,      -- of the fee, put to the organizer; in the sale's currency
    cleared_at   timestamptz
);
CREATE INDEX captures_of_order ON captures (order_id);
CREATE INDEX captures_waiting ON captures (created_at) WHERE txn IS NULL;

-- Rates of exchange ---------------------------------------------------------------------------------------------------
CREATE TABLE fx_rates (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_currency text NOT NULL,
    target_currency text NOT NULL,
    rate   text NOT NULL,
    source text NOT NULL,
    at     timestamptz NOT NULL,
    UNIQUE (source_currency, target_currency, source, at)
);
CREATE INDEX fx_rates_newest ON fx_rates (source_currency, target_currency, at DESC, id DESC);

-- What of an organizer's part stands in another currency at Stripe, until payouts close it first in, first out.
CREATE TABLE fx_lots (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source           text NOT NULL UNIQUE,       -- the capture or refund
    order_id         text NOT NULL,
    organizer        text NOT NULL,
    payout_currency  text NOT NULL,
    balance_currency text NOT NULL,
    payout_left      bigint NOT NULL,
    balance_left     bigint NOT NULL
);
CREATE INDEX fx_lots_open ON fx_lots (organizer, payout_currency, balance_currency, id) WHERE payout_left <> 0;

-- Refunds ----------------------------------------------------------------------------------------------------------------
ALTER TABLE orders ADD COLUMN starts_at timestamptz;    -- the event's start when it was bought
ALTER TABLE refunds DROP CONSTRAINT refunds_amount_check;
ALTER TABLE refunds ALTER COLUMN payment_intent DROP NOT NULL;
ALTER TABLE refunds
    ADD CONSTRAINT refunds_amount_check CHECK (amount >= 0),
    ADD COLUMN requested_by text NOT NULL DEFAULT 'us',
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN tickets text[] NOT NULL DEFAULT '{}',
    ADD COLUMN face bigint NOT NULL DEFAULT 0,
    ADD COLUMN fee bigint NOT NULL DEFAULT 0,
    ADD COLUMN tax bigint NOT NULL DEFAULT 0,
    ADD COLUMN absorbed bigint NOT NULL DEFAULT 0,
    ADD COLUMN absorbed_tax bigint NOT NULL DEFAULT 0,
    ADD COLUMN kept_fee bigint NOT NULL DEFAULT 0,
    ADD COLUMN basis bigint NOT NULL DEFAULT 0,          -- what a percentage was taken of, and which
    ADD COLUMN percent_bps integer,
    ADD COLUMN payout_currency text,
    ADD COLUMN payout_face bigint NOT NULL DEFAULT 0,
    ADD COLUMN payout_fees bigint NOT NULL DEFAULT 0,
    ADD COLUMN failure text,
    ADD COLUMN txn text UNIQUE,
    ADD COLUMN failure_txn text UNIQUE,
    ADD COLUMN places_returned_at timestamptz;
DROP INDEX one_late_refund;
CREATE UNIQUE INDEX one_refund_of_an_unmatched_payment ON refunds (payment_intent, kind) WHERE kind IN ('late', 'review');
CREATE INDEX refunds_unsettled ON refunds (created_at) WHERE txn IS NULL AND status <> 'failed';

-- Payouts ----------------------------------------------------------------------------------------------------------------
CREATE TABLE payouts (
    id         text PRIMARY KEY,
    organizer  text NOT NULL REFERENCES organizers,
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    status     text NOT NULL,                    -- requested, executed, failed, reversed
    parts      jsonb NOT NULL,                   -- [[event or null, amount], …], oldest first
    account    text,
    transfer   text UNIQUE,
    txn        text UNIQUE,
    failure    text,
    requested_by text NOT NULL,
    created_at timestamptz NOT NULL,
    executed_at timestamptz
);
CREATE INDEX payouts_of_organizer ON payouts (organizer, created_at);

-- Documents: what is served, byte for byte ---------------------------------------------------------------------------------
CREATE TABLE settlements (
    event     text PRIMARY KEY,
    organizer text NOT NULL REFERENCES organizers,
    cut       timestamptz NOT NULL,
    document  bytea NOT NULL
);
CREATE TABLE statements (
    organizer text NOT NULL REFERENCES organizers,
    month     text NOT NULL CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
    id        text NOT NULL UNIQUE,
    cut       timestamptz NOT NULL,
    document  bytea NOT NULL,
    csv       bytea NOT NULL,
    pdf       bytea NOT NULL,
    PRIMARY KEY (organizer, month)
);

-- Statements are sums of these, by time of booking.
ALTER TABLE journal_postings ADD COLUMN booked_at timestamptz;
ALTER TABLE journal_postings DISABLE TRIGGER append_only;
UPDATE journal_postings p SET booked_at = e.booked_at FROM journal_entries e WHERE e.id = p.entry;
ALTER TABLE journal_postings ENABLE TRIGGER append_only;
ALTER TABLE journal_postings ALTER COLUMN booked_at SET NOT NULL;
CREATE INDEX journal_postings_section ON journal_postings (account, booked_at) INCLUDE (amount, event, section)
    WHERE section IS NOT NULL;
CREATE INDEX journal_postings_event ON journal_postings (event) WHERE event IS NOT NULL;

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fm_app') THEN
        GRANT SELECT, INSERT, UPDATE ON captures, fx_lots, payouts TO fm_app;
        GRANT SELECT, INSERT ON fx_rates, settlements, statements TO fm_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO fm_app;
    END IF;
END $$;
