"""A mailbox for trying things out: takes any mail by SMTP on loopback, keeps it in Postgres, shows it in a browser.

A program of its own: `python -m engine.embedded.mailbox --port N --smtp-port N --port-file PATH`, with the database's URL
in LOCAL_MAILBOX_DATABASE_URL. It imports nothing of ours but itself.

Promises: a message is in Postgres before its sender hears 250. What comes twice is kept twice: whether a mail was sent
again is what one wants to see here. Mail is shown without scripts, in a sandbox, and loads nothing from anywhere.
"""
