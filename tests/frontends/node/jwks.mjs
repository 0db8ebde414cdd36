// What another service does that verifies access tokens without asking: it has the address of the keys, and no secret.
import { createRemoteJWKSet, jwtVerify } from "jose";

const [, , address, ...tokens] = process.argv;
const keys = createRemoteJWKSet(new URL(address), { cooldownDuration: 0 });
for (const token of tokens) {
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: ["EdDSA"],
      issuer: "auth-tasks-api",
      typ: "at+jwt",
      requiredClaims: ["sub", "exp"],
    });
    console.log(JSON.stringify({ user: payload.sub }));
  } catch (refusal) {
    console.log(JSON.stringify({ refused: refusal.code ?? refusal.message }));
  }
}
