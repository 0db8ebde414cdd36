import { NextResponse } from "next/server";
import { sessionOf } from "./session.js";

// Before a page is rendered, where cookies can be set: for the page and for the browser.
export async function proxy(request) {
  const set = [];
  const cookies = {
    get: (name) => request.cookies.get(name),
    set: (...cookie) => (request.cookies.set(cookie[0], cookie[1]), set.push(cookie)),
  };
  await (await sessionOf(cookies)).refresh().catch(() => {}); // the page says what is wrong
  const answer = NextResponse.next({ request });
  for (const cookie of set) answer.cookies.set(...cookie);
  return answer;
}

export const config = { matcher: "/with-proxy" };
