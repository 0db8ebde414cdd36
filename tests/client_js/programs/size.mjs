// How many bytes these entries have in one bundle, minified and compressed (Brotli).
import { brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

const names = process.argv.slice(2).map((name) => (name === "index" ? "" : `/${name}`));
const contents = names.map((name) => `export * from "auth-tasks-client${name}";`).join("\n");
const { outputFiles } = await build({
  stdin: { contents, resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  external: ["react"],
  write: false,
});
console.log(brotliCompressSync(outputFiles[0].contents).length);
