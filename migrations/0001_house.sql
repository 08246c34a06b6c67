-- The house: who sells, what is for sale, who holds it, what was ordered, and what Stripe and we still owe each other.
-- Written by the owner of each shard (inventory) and by actions (the rest); see ARCHITECTURE.md.

DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fm_app') THEN
        BEGIN
            CREATE ROLE fm_app NOLOGIN;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'no role fm_app and no right to make it: the application runs with the rights of its own role';
        END;
    END IF;
END $$;

-- Ownership -------------------------------------------------------------------------------------------------------
CREATE TABLE shard_owner (
    shard       smallint PRIMARY KEY,
    epoch       bigint NOT NULL DEFAULT 0,
    owner       text,
    lease_until timestamptz,
    last_seq    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO shard_owner (shard) SELECT generate_series(0, 15);

-- Who sells -------------------------------------------------------------------------------------------------------
CREATE TABLE organizers (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    email           text NOT NULL,
    country         text NOT NULL,
    payout_currency text NOT NULL,
    stripe_account  text,
    fee             jsonb,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id           text PRIMARY KEY,
    organizer    text REFERENCES organizers,     -- null: the operator's
    hash         bytea NOT NULL UNIQUE,
    name         text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- What is for sale --------------------------------------------------------------------------------------------------
CREATE TABLE events (
    number         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text NOT NULL UNIQUE,
    shard          smallint NOT NULL REFERENCES shard_owner,
    organizer      text NOT NULL REFERENCES organizers,
    slug           text NOT NULL UNIQUE,
    name           text NOT NULL,
    description    text NOT NULL DEFAULT '',
    venue          jsonb NOT NULL,               -- {"name", "address"}
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz,
    doors_at       timestamptz,
    timezone       text NOT NULL,
    currency       text NOT NULL,
    state          text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'published', 'paused', 'cancelled')),
    on_sale_at     timestamptz,
    hold_seconds   integer NOT NULL,
    max_per_buyer  integer,
    resell_refunded boolean NOT NULL DEFAULT true,
    reentry        boolean NOT NULL DEFAULT false,
    queue          jsonb,
    fee            jsonb NOT NULL,
    refund_policy  jsonb NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_of_organizer ON events (organizer, created_at);
CREATE INDEX events_of_shard ON events (shard);

-- The counts that every batch rewrites, apart from the catalog so that the hot row stays small.
CREATE TABLE venue_pools (
    event       integer PRIMARY KEY REFERENCES events,
    capacity    bigint NOT NULL,
    held        bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    in_checkout bigint NOT NULL DEFAULT 0 CHECK (in_checkout >= 0),
    sold        bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    comped      bigint NOT NULL DEFAULT 0 CHECK (comped >= 0),
    withheld    bigint NOT NULL DEFAULT 0 CHECK (withheld >= 0),
    next_ticket bigint NOT NULL DEFAULT 1,
    CONSTRAINT venue_never_oversold CHECK (held + in_checkout + sold + comped + withheld <= capacity)
) WITH (fillfactor = 20);

CREATE TABLE tiers (
    event          integer NOT NULL REFERENCES events,
    number         smallint NOT NULL,
    id             text NOT NULL UNIQUE,
    name           text NOT NULL,
    price          bigint NOT NULL CHECK (price >= 0),
    tax_bps        integer NOT NULL DEFAULT 0,
    max_per_order  integer NOT NULL,
    hidden         boolean NOT NULL DEFAULT false,
    sale_starts_at timestamptz,
    sale_ends_at   timestamptz,
    deleted        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (event, number)
);

CREATE TABLE tier_pools (
    event       integer NOT NULL,
    number      smallint NOT NULL,
    capacity    bigint NOT NULL,
    held        bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    in_checkout bigint NOT NULL DEFAULT 0 CHECK (in_checkout >= 0),
    sold        bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    comped      bigint NOT NULL DEFAULT 0 CHECK (comped >= 0),
    withheld    bigint NOT NULL DEFAULT 0 CHECK (withheld >= 0),
    PRIMARY KEY (event, number),
    FOREIGN KEY (event, number) REFERENCES tiers,
    CONSTRAINT tier_never_oversold CHECK (held + in_checkout + sold + comped + withheld <= capacity)
) WITH (fillfactor = 20);

CREATE TABLE promo_codes (
    event          integer NOT NULL REFERENCES events,
    number         integer NOT NULL,
    id             text NOT NULL UNIQUE,
    code           text NOT NULL,
    percent_bps    integer,
    amount         bigint,
    max_uses       integer,
    tiers          smallint[],
    reveals_hidden boolean NOT NULL DEFAULT false,
    valid_from     timestamptz,
    valid_until    timestamptz,
    used           bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    PRIMARY KEY (event, number),
    UNIQUE (event, code),
    CHECK ((percent_bps IS NULL) <> (amount IS NULL)),
    CONSTRAINT promo_never_overused CHECK (max_uses IS NULL OR used <= max_uses)
);

-- Who holds it -------------------------------------------------------------------------------------------------------
CREATE TABLE baskets (
    event  integer NOT NULL,
    number integer NOT NULL,
    lines  jsonb NOT NULL,                       -- [[tier number, quantity], …]
    promo  integer,
    quote  jsonb NOT NULL,
    PRIMARY KEY (event, number)
);

CREATE TABLE holds (
    id         uuid PRIMARY KEY,
    event      integer NOT NULL,
    basket     integer NOT NULL,
    state      smallint NOT NULL,                -- engine.core.model.HoldState
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    seq        bigint NOT NULL,
    key        uuid,
    body       bigint NOT NULL DEFAULT 0,
    order_id   text,
    owners     uuid[]
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX holds_key ON holds (key) WHERE key IS NOT NULL;
CREATE INDEX holds_seq ON holds (event, seq);
CREATE INDEX holds_live ON holds (event) WHERE state <= 2;

-- What was ordered -----------------------------------------------------------------------------------------------------
CREATE TABLE orders (
    id             text PRIMARY KEY,
    number         text NOT NULL UNIQUE,
    event          integer NOT NULL REFERENCES events,
    organizer      text NOT NULL,
    hold           text NOT NULL,
    status         text NOT NULL,
    email          text NOT NULL,
    name           text NOT NULL,
    attendees      jsonb,
    lines          jsonb NOT NULL,
    quote          jsonb NOT NULL,
    total          bigint NOT NULL,
    currency       text NOT NULL,
    refunded       bigint NOT NULL DEFAULT 0,
    refund_policy  jsonb NOT NULL,
    fee            jsonb NOT NULL,
    purchase_rate  jsonb,
    signals        jsonb NOT NULL DEFAULT '{}',
    payment_intent text UNIQUE,
    payment_secret bytea,                        -- the client secret, encrypted; erased once it is of no use
    payment_generation integer NOT NULL DEFAULT 0,
    charge         text,
    charge_facts   jsonb,
    needs_review   boolean NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT now(),
    paid_at        timestamptz
);
CREATE INDEX orders_of_event ON orders (event, created_at);
CREATE INDEX orders_waiting ON orders (created_at) WHERE status IN ('awaiting_payment', 'expired');

CREATE TABLE tickets (
    id         text PRIMARY KEY,
    event      integer NOT NULL,
    number     bigint NOT NULL,
    tier       smallint NOT NULL,
    serial     integer NOT NULL DEFAULT 1,
    key_id     smallint NOT NULL DEFAULT 1,
    order_id   text,                             -- null: a guest's
    status     text NOT NULL DEFAULT 'valid' CHECK (status IN ('valid', 'used', 'void')),
    name       text,
    price      jsonb NOT NULL,                   -- face, discount, fee, … of this ticket, minor units
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event, number)
);
CREATE INDEX tickets_of_order ON tickets (order_id);

CREATE TABLE ticket_keys (
    id          smallint PRIMARY KEY,
    private_key bytea NOT NULL,                  -- Ed25519, encrypted under FM_SECRET_KEY
    public_key  bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE refunds (
    id         text PRIMARY KEY,
    order_id   text NOT NULL REFERENCES orders,
    kind       text NOT NULL,                    -- late, review
    status     text NOT NULL,                    -- pending, succeeded, failed
    amount     bigint NOT NULL CHECK (amount > 0),
    currency   text NOT NULL,
    payment_intent text NOT NULL,
    stripe_refund  text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refunds_of_order ON refunds (order_id);
CREATE UNIQUE INDEX one_late_refund ON refunds (payment_intent, kind);

-- What Stripe and we still owe each other -------------------------------------------------------------------------------
CREATE TABLE inbox (
    id           text PRIMARY KEY,               -- Stripe's event id
    type         text NOT NULL,
    shard        smallint,                       -- null: no event of ours in it
    payload      jsonb NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    processed_at timestamptz,
    attempts     integer NOT NULL DEFAULT 0,
    retry_at     timestamptz,
    result       text
);
CREATE INDEX inbox_waiting ON inbox (shard, received_at) WHERE processed_at IS NULL;

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    key        text NOT NULL UNIQUE,
    shard      smallint,
    payload    jsonb NOT NULL,
    run_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts   integer NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    done_at    timestamptz,
    error      text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_waiting ON outbox (kind, run_at) WHERE done_at IS NULL;

CREATE TABLE idempotency (
    scope      text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    status     integer,
    response   bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);

CREATE TABLE blocks (
    id         text PRIMARY KEY,
    organizer  text REFERENCES organizers,       -- null: everywhere
    kind       text NOT NULL CHECK (kind IN ('email', 'card', 'ip', 'fingerprint', 'buyer')),
    value      text NOT NULL,
    reason     text NOT NULL,
    until      timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE operator_tasks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL,
    detail      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    UNIQUE (kind, subject)
);

CREATE TABLE audit (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    organizer text,
    actor     text NOT NULL,
    action    text NOT NULL,
    object    text NOT NULL,
    ip        text,
    before    jsonb,
    after     jsonb
);

-- One batch of one shard, in one round trip -------------------------------------------------------------------------------
-- The fence first: it waits for any pending batch of this shard, then says whether the writer still owns it.
-- 'FM001' deposed, 'FM002' an earlier batch of mine failed.
CREATE FUNCTION write_batch(
    p_shard smallint, p_epoch bigint, p_seq bigint,
    made_id uuid[], made_event int[], made_basket int[], made_created bigint[], made_expires bigint[],
    made_key uuid[], made_body bigint[], made_state smallint[], made_order text[], made_owners text[],
    moved_id uuid[], moved_state smallint[], moved_basket int[], moved_order text[], moved_owners text[],
    tier_event int[], tier_number smallint[], tier_held bigint[], tier_checkout bigint[], tier_sold bigint[], tier_comped bigint[],
    venue_event int[], venue_held bigint[], venue_checkout bigint[], venue_sold bigint[], venue_comped bigint[], venue_next bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found_seq bigint;
BEGIN
    UPDATE shard_owner SET last_seq = last_seq + 1 WHERE shard = p_shard AND epoch = p_epoch
        RETURNING last_seq INTO found_seq;
    IF found_seq IS NULL THEN
        RAISE EXCEPTION 'shard % is no longer of epoch %', p_shard, p_epoch USING ERRCODE = 'FM001';
    ELSIF found_seq <> p_seq THEN
        RAISE EXCEPTION 'shard % is at %, not %', p_shard, found_seq, p_seq USING ERRCODE = 'FM002';
    END IF;
    IF cardinality(made_id) > 0 THEN
        INSERT INTO holds (id, event, basket, state, created_at, expires_at, seq, key, body, order_id, owners)
            SELECT i, e, b, s, timestamptz 'epoch' + c * interval '1 microsecond',
                   timestamptz 'epoch' + x * interval '1 microsecond', p_seq, k, h, o, w::uuid[]
            FROM unnest(made_id, made_event, made_basket, made_created, made_expires, made_key, made_body,
                        made_state, made_order, made_owners)
                AS m (i, e, b, c, x, k, h, s, o, w);
    END IF;
    IF cardinality(moved_id) > 0 THEN
        UPDATE holds SET state = s, basket = b, order_id = o, seq = p_seq, owners = w::uuid[]
            FROM unnest(moved_id, moved_state, moved_basket, moved_order, moved_owners) AS m (i, s, b, o, w)
            WHERE id = i;
    END IF;
    IF cardinality(tier_event) > 0 THEN
        UPDATE tier_pools SET held = h, in_checkout = c, sold = s, comped = g
            FROM unnest(tier_event, tier_number, tier_held, tier_checkout, tier_sold, tier_comped)
                AS t (e, n, h, c, s, g) WHERE event = e AND number = n;
    END IF;
    IF cardinality(venue_event) > 0 THEN
        UPDATE venue_pools SET held = h, in_checkout = c, sold = s, comped = g, next_ticket = k
            FROM unnest(venue_event, venue_held, venue_checkout, venue_sold, venue_comped, venue_next)
                AS v (e, h, c, s, g, k) WHERE event = e;
    END IF;
END $$;

-- Rights: the application changes rows; it owns nothing and drops nothing.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fm_app') THEN
        GRANT USAGE ON SCHEMA public TO fm_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO fm_app;
        REVOKE UPDATE, DELETE ON audit FROM fm_app;
        REVOKE INSERT, UPDATE, DELETE ON migrations FROM fm_app;
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO fm_app;
    END IF;
END $$;
