import { serverSession } from "auth-tasks-client/server";

export const sessionOf = (cookies) =>
  serverSession({ url: process.env.API, secret: process.env.SESSION_SECRET, cookies });
