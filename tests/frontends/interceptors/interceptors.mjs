// Ways in which pages refresh, as tutorials and the libraries' own documentation have them. Each makes several calls at once
// with an access token that has expired, again and again: without a lock and without a key, but for ky's shared promise.
import { configureStore } from "@reduxjs/toolkit";
import { createApi, fetchBaseQuery } from "@reduxjs/toolkit/query";
import axios from "axios";
import ky from "ky";

const [way, base, email, password, seconds] = process.argv.slice(2);
const read = (pair) => ({ access: pair.access_token, refresh: pair.refresh_token });

function axiosTab(tokens) {
  const tab = axios.create({ baseURL: base });
  tab.interceptors.request.use((config) => {
    config.headers.Authorization = `Bearer ${tokens.access}`;
    return config;
  });
  tab.interceptors.response.use(
    (response) => response,
    async (error) => {
      const original = error.config;
      if (error.response?.status !== 401 || original._retry) throw error;
      original._retry = true;
      const { data } = await axios.post(`${base}/api/auth/refresh`, { refresh_token: tokens.refresh });
      Object.assign(tokens, read(data));
      return tab(original);
    },
  );
  return (path) => tab.get(path).then(({ status }) => status);
}

function reduxTab(tokens) {
  const plain = fetchBaseQuery({
    baseUrl: base,
    prepareHeaders: (headers) => headers.set("Authorization", `Bearer ${tokens.access}`),
  });
  const withReauth = async (args, api, extra) => {
    let result = await plain(args, api, extra);
    if (result.error?.status === 401) {
      const refresh = { url: "/api/auth/refresh", method: "POST", body: { refresh_token: tokens.refresh } };
      const refreshed = await plain(refresh, api, extra);
      if (refreshed.data) {
        Object.assign(tokens, read(refreshed.data));
        result = await plain(args, api, extra);
      }
    }
    return result;
  };
  const api = createApi({
    baseQuery: withReauth,
    endpoints: (build) => ({ get: build.query({ query: (path) => path }) }),
  });
  const store = configureStore({
    reducer: { [api.reducerPath]: api.reducer },
    middleware: (usual) => usual().concat(api.middleware),
  });
  return async (path) => {
    const result = await store.dispatch(api.endpoints.get.initiate(path, { forceRefetch: true }));
    return result.error?.status ?? 200;
  };
}

function kyTab(tokens) {
  let refreshing = null;
  const refresh = async () => {
    const pair = await ky.post(`${base}/api/auth/refresh`, { json: { refresh_token: tokens.refresh } }).json();
    Object.assign(tokens, read(pair));
  };
  const tab = ky.create({
    prefixUrl: base,
    hooks: {
      beforeRequest: [(request) => request.headers.set("Authorization", `Bearer ${tokens.access}`)],
      afterResponse: [
        async (request, _options, response) => {
          if (response.status !== 401) return response;
          refreshing ??= refresh().finally(() => (refreshing = null));
          await refreshing;
          request.headers.set("Authorization", `Bearer ${tokens.access}`);
          return ky(request);
        },
      ],
    },
  });
  return (path) => tab.get(path.slice(1)).then(({ status }) => status);
}

const first = read((await axios.post(`${base}/api/auth/signup`, { email, password })).data);
const makeTab = { redux: reduxTab, ky: kyTab }[way] ?? axiosTab;
// Each tab has read the tokens when it was opened.
const tabs = Array.from({ length: way === "tabs" ? 5 : 1 }, () => makeTab({ ...first }));
const paths = way === "tabs" ? ["/api/tasks"] : ["/api/tasks", "/api/auth/me", "/api/auth/sessions"];
const calls = tabs.flatMap((get) => paths.map((path) => () => get(path)));
const statuses = [];
for (let round = 0; round < 2; round += 1) {
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000 + 100));
  const failed = (error) => error.response?.status ?? String(error);
  statuses.push(...(await Promise.all(calls.map((call) => call().catch(failed)))));
}
console.log(JSON.stringify(statuses));
