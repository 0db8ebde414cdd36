"""The contracts by name, and which of them may stand beside each other."""

from collections.abc import Sequence
from importlib import import_module

from app.contracts.contract import Contract
from app.core.config import SettingsError

# Imported when it is chosen: most services serve none of them.
CONTRACTS = {
    "v1": "app.contracts.v1",
    "path": "app.contracts.path",
    "path-enveloped": "app.contracts.path_enveloped",
    "aliases": "app.contracts.aliases",  # last, so that a route which another one documents is that one's
}


def choose(names: Sequence[str]) -> list[Contract]:
    """Return the contracts of these names. Raises: SettingsError for one that is unknown or contradicts another."""
    unknown = [name for name in names if name not in CONTRACTS]
    if unknown:
        raise SettingsError(f"API_CONTRACTS names {', '.join(unknown)}; there are {', '.join(CONTRACTS)}")
    chosen: dict[str, Contract] = {name: import_module(CONTRACTS[name]).contract for name in names}
    for name, contract in chosen.items():
        if clashing := contract.conflicts_with & set(names):
            raise SettingsError(f"API_CONTRACTS names both {name} and {', '.join(clashing)}, whose paths are the same")
    return [chosen[name] for name in CONTRACTS if name in chosen]
