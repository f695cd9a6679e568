// The committed console is what its sources give.
//
//   node rebuild_test.mjs REPOSITORY OUT
//
// Exits with 77 where the packages of console/ are not installed, or Node is older than they ask for.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { packageOf, runTests, skip } from "./support.mjs";

const [repository, out] = process.argv.slice(2);
const source = join(repository, "console");
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19))
  skip(`building the console needs Node 20.19, this is ${process.versions.node}`);
packageOf(source, "vite/package.json");

const tests = {
  theCommittedPageIsTheOneItsSourcesGive() {
    rmSync(out, { recursive: true, force: true });
    execFileSync(
      process.execPath,
      [
        join(source, "node_modules/vite/bin/vite.js"),
        "build",
        "--outDir",
        out,
        "--logLevel",
        "warn",
      ],
      { cwd: source, stdio: "inherit" },
    );
    for (const file of ["index.html", "policy.txt"]) {
      assert.ok(
        readFileSync(join(out, file)).equals(readFileSync(join(source, "dist", file))),
        `console/dist/${file} is not what the sources give: run ./dev console and commit it`,
      );
    }
  },
};

await runTests(tests);
