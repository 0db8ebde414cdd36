"""The body of the public keys."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class KeyRead(BaseModel):
    """A public key of Ed25519. Source: RFC 7517 4, RFC 8037 2."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["EdDSA"]


class KeySetRead(BaseModel):
    """The keys by which access tokens are verified; the `kid` of a token's header says which. Source: RFC 7517 5."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "keys": [
                    {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                        "kid": "8d1f2c3a",
                        "use": "sig",
                        "alg": "EdDSA",
                    }
                ]
            }
        }
    )

    keys: list[KeyRead]
