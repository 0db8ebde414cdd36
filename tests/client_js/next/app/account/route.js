import { cookies } from "next/headers";
import { sessionOf } from "../../session.js";

export async function POST(request) {
  const { client } = await sessionOf(await cookies());
  await client.auth.signUp(await request.json());
  await client.tasks.create({ title: "Water the plants" });
  return new Response(null, { status: 204 });
}

export async function DELETE() {
  const { client } = await sessionOf(await cookies());
  await client.auth.signOut();
  return new Response(null, { status: 204 });
}
