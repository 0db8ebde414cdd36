"""Runs tests in copies of the tree, each time in a process of its own that need not import the libraries again.

Reads lines of JSON, `[folder, argument, …]` with the arguments of pytest, and answers each with pytest's exit code.
"""

import json
import os
import signal
import sys

import alembic.command
import fastapi
import httpx
import hypothesis
import jose
import psycopg
import pytest
import sqlmodel
import uvicorn

IMPORTED = (alembic.command, fastapi, httpx, hypothesis, jose, psycopg, sqlmodel, uvicorn)
LONGEST_SECONDS = 300
QUIETLY = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")

for line in sys.stdin:
    folder, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST_SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(folder)
        sys.path[0] = folder
        code: int = pytest.ExitCode.INTERNAL_ERROR
        try:
            code = pytest.main([*QUIETLY, *arguments])
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
