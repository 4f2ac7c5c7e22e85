// A MicroPython with 32-bit words and 31-bit small integers, as a program: runs the test runner in it.
// Usage: node micropython32.mjs PACKAGES ROOT HEAP_BYTES FOLDER MODULE TEST...

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGE = "@micropython/micropython-webassembly-pyscript/micropython.mjs";
const ROOMS = ["wire", "firmware", "boards", "tests/wire", "tests/firmware", "tests/support",
  "tests/vectors"];
const RUNNER = "tests.support.unix_port_runner";
const [packages, root, heapBytes, ...rest] = process.argv.slice(2);
const { loadMicroPython } = await import(pathToFileURL(path.join(packages, PACKAGE)));
const port = await loadMicroPython({
  heapsize: Number(heapBytes),
  linebuffer: true,
  stdout: (line) => fs.writeSync(1, line + "\n"),
});

function copy(from, to) {
  port.FS.mkdirTree(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), to + "/" + entry.name];
    if (entry.isDirectory() && entry.name !== "__pycache__") copy(source, target);
    else if (/\.(py|mpy|json)$/.test(entry.name)) port.FS.writeFile(target, fs.readFileSync(source));
  }
}

for (const room of ROOMS) copy(path.join(root, room), "/meter/" + room);
copy(path.join(root, "tests/support/word32"), "/meter"); // what this port lacks: AES, asyncio
copy(path.join(root, ".lib"), "/meter");
port.FS.writeFile("/meter/tests/__init__.py", "");
port.FS.chdir("/meter");
port.runPython(`
import sys
sys.path.insert(0, "/meter")
sys.argv[:] = ["micropython"] + ${JSON.stringify(rest)}
__import__("${RUNNER}")
`);
