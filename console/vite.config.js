import { createHash } from "node:crypto";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const sha256 = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

// What the page may do: run its one script, use its one style, talk to the server it came from.
const policy = (script, style) =>
  [
    "default-src 'none'",
    `script-src ${sha256(script)}`,
    `style-src ${sha256(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");

// Puts the script and the style into the page, and writes the policy that names their hashes.
function oneFile() {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const files = Object.values(bundle);
      const take = (suffix) => {
        const found = files.filter((file) => file.fileName.endsWith(suffix));
        if (found.length !== 1) throw new Error(`expected one *${suffix}, found ${found.length}`);
        delete bundle[found[0].fileName];
        return String(found[0].code ?? found[0].source).trim();
      };
      const script = take(".js").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
      const style = take(".css");
      const page = bundle["index.html"];
      const source = String(page.source)
        .replace(/<script [^>]*><\/script>\s*/, "")
        .replace(/<link rel="stylesheet"[^>]*>\s*/, "")
        .replace(/\n\s*/g, "\n")
        .replace("</head>", () => `<style>${style}</style>\n</head>`)
        .replace("</body>", () => `<script>${script}</script>\n</body>`);
      if (/<(script|link|img)[^>]* (src|href)="(?!data:)/.test(source)) {
        throw new Error("the page names another file");
      }
      page.source = source;
      this.emitFile({ type: "asset", fileName: "policy.txt", source: policy(script, style) });
    },
  };
}

export default defineConfig({
  // `fragments: "tree"` makes elements one by one: nothing in the page parses HTML at run time.
  plugins: [svelte({ compilerOptions: { runes: true, fragments: "tree" } }), oneFile()],
  build: {
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    reportCompressedSize: false,
    rolldownOptions: { output: { format: "iife" } },
  },
  // `npm run dev` beside `brisk serve`.
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/v2", "/metrics", "/version", "/health"].map((path) => [
        path,
        process.env.BRISK_URL ?? "http://127.0.0.1:8000",
      ]),
    ),
  },
});
