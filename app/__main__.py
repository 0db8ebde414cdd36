"""`python -m app`: see `app/cli/commands.py`."""

from app.cli.commands import main

if __name__ == "__main__":
    main()
