// Another service that verifies access tokens without asking, by the lines of docs/tokens.md in reader.mjs.
import { userOf } from "./reader.mjs";

for (const token of process.argv.slice(2)) {
  try {
    console.log(JSON.stringify({ user: await userOf(token) }));
  } catch (refusal) {
    console.log(JSON.stringify({ refused: refusal.code ?? refusal.message }));
  }
}
