import { cookies } from "next/headers";
import { sessionOf } from "../session.js";

export async function List() {
  const session = await sessionOf(await cookies());
  const titles = [];
  for await (const { title } of session.client.tasks.list()) titles.push(title);
  return <p>{`${session.user.email}: ${titles.join()}`}</p>;
}
