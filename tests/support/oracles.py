"""Outside programs that tests hold results against: the packages of deploy/deps/fetch-oracles."""
import importlib
import os
import sys
import unittest


def require(*modules):
    """Imports them, from the folder YOKE_ORACLES where it is set; skips the test, saying so, without."""
    folder = os.environ.get("YOKE_ORACLES")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise unittest.SkipTest(f"{error}; run deploy/deps/fetch-oracles and set YOKE_ORACLES to what it prints") from error
    return found[0] if len(found) == 1 else found
