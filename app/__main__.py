"""`python -m app`: see `app/cli/commands.py`."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules are read ends it without a word
    from app.cli.commands import main
    from app.cli.streams import usable_streams

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with usable_streams():
        main()
