"""The local Stripe: Stripe's API for payments on loopback, as a program of its own with state that survives `kill -9`.

Promises: what it answered is committed; every card of Stripe's test list behaves as documented; webhooks are signed
and tried again until they are taken.
Must not know: anything of Force Majeure. It imports nothing outside this package, so that what works against it
speaks Stripe's protocol and not ours.
Why: nobody needs a Stripe account to click through a sale, and tests can break it on purpose (`/_local/faults`).
"""
