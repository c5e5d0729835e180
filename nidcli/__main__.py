"""`python -m nidcli` is `nid`."""

from nidcli.cli import main

main()
