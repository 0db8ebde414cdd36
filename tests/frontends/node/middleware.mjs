// What a Next.js middleware does: verify the access token with the shared secret, and read the user from it.
import { jwtVerify } from "jose";

const [, , secret, token] = process.argv;
try {
  const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
    algorithms: ["HS256"],
    requiredClaims: ["sub", "exp", "type"],
  });
  if (payload.type !== "access") throw new Error("not an access token");
  console.log(JSON.stringify({ user: payload.sub, email: payload.email ?? null }));
} catch (refusal) {
  console.log(JSON.stringify({ refused: refusal.code ?? refusal.message }));
}
