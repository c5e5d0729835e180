"""`python -m nidcli` is `nid`."""

from nidcli.cli import run

run()
