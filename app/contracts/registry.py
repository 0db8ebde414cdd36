"""The contracts by name, and which of them may stand beside each other."""

from collections.abc import Sequence
from importlib import import_module

from app.contracts.contract import Contract
from app.core.config import SettingsError

# Imported when it is chosen: most services serve none of them.
CONTRACTS = {"v1": "app.contracts.v1", "path": "app.contracts.path", "path-enveloped": "app.contracts.path_enveloped"}


def choose(names: Sequence[str]) -> list[Contract]:
    """Return the contracts of these names. Raises: SettingsError for one that is unknown or contradicts another."""
    unknown = [name for name in names if name not in CONTRACTS]
    if unknown:
        raise SettingsError(f"API_CONTRACTS names {', '.join(unknown)}; there are {', '.join(CONTRACTS)}")
    chosen: list[Contract] = [import_module(module).contract for name, module in CONTRACTS.items() if name in names]
    for contract in chosen:
        if clashing := contract.conflicts_with & set(names):
            others = ", ".join(clashing)
            raise SettingsError(f"API_CONTRACTS names both {contract.name} and {others}, whose paths are the same")
    return chosen
