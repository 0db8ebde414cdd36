"""The contracts by name, and which of them may stand beside each other."""

from collections.abc import Sequence

from app.contracts import path, path_enveloped, v1
from app.contracts.contract import Contract
from app.core.config import SettingsError

CONTRACTS = {contract.name: contract for contract in (v1.contract, path.contract, path_enveloped.contract)}


def choose(names: Sequence[str]) -> list[Contract]:
    """Return the contracts of these names. Raises: SettingsError for one that is unknown or contradicts another."""
    unknown = [name for name in names if name not in CONTRACTS]
    if unknown:
        raise SettingsError(f"API_CONTRACTS names {', '.join(unknown)}; there are {', '.join(CONTRACTS)}")
    for name in names:
        if clashing := CONTRACTS[name].conflicts_with & set(names):
            raise SettingsError(f"API_CONTRACTS names both {name} and {', '.join(clashing)}, whose paths are the same")
    return [contract for name, contract in CONTRACTS.items() if name in names]
