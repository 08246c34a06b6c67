"""The only files that import a driver or a client: Postgres, Redis, Stripe, mail, and what both faces share of HTTP."""
