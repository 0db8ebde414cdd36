"""The SQL of passkeys that is needed where they are off, too: they go with the account or by a reset, are exported."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlmodel import col

from app.auth.active_session import user_id
from app.core.database.sql import constant
from app.core.database.statement import Row, Statement
from app.passkeys.models import Passkey


class ListedPasskey(Row):
    id: str
    name: str | None
    created_at: datetime
    last_used_at: datetime | None
    synced: bool


# In base64url, as all of WebAuthn; encode() breaks the line after 76 characters.
_in_base64: Any = func.encode(col(Passkey.id), constant("base64"))
_spelled: Any = func.translate(_in_base64, constant("+/=").concat(func.chr(constant(10))), constant("-_"))
listed_columns: Any = (
    *(_spelled.label("id"), col(Passkey.name), col(Passkey.created_at), col(Passkey.last_used_at)),
    col(Passkey.synced),
)
is_mine = col(Passkey.user_id) == user_id

DELETE_ALL = Statement(delete(Passkey).where(is_mine).returning(col(Passkey.id)), bytes, quiet=True)
EXPORT_PASSKEYS = Statement(
    select(*listed_columns).where(is_mine).order_by(col(Passkey.created_at), col(Passkey.id)), ListedPasskey
)
