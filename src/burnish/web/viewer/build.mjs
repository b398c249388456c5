// Bundles the viewer: node build.mjs OUTFILE, with node_modules of the project beside it.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(join(process.cwd(), "package.json"));
const { build } = require("esbuild");

// Mol* fills a table of 240,000 words in capitals when it is loaded, a sixth of a second, to look up symbols of elements.
// Symbols have at most two letters; what is not in the table it puts into capitals where it is needed.
const WORDS_OF_THREE = /for \(const m of letters\) \{\s*cache\[k \+ l \+ m\] = \(k \+ l \+ m\)\.toUpperCase\(\);\s*\}/;
const shortTable = {
  name: "short table of symbols",
  setup({ onLoad }) {
    onLoad({ filter: /mol-model[\\/]structure[\\/]model[\\/]types\.js$/ }, async ({ path }) => {
      const text = await readFile(path, "utf8");
      if (!WORDS_OF_THREE.test(text)) return { contents: text, warnings: [{ text: "the table of symbols has changed; it is left as it is" }] };
      return { contents: text.replace(WORDS_OF_THREE, "") };
    });
  },
};

await build({
  entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "molstar_entry.js")],
  outfile: process.argv[2],
  bundle: true, minify: true, format: "iife", globalName: "molstar", logLevel: "warning",
  nodePaths: [join(process.cwd(), "node_modules")],
  plugins: [shortTable],
});
