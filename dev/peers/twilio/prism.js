// Prism, an HTTP server that validates requests against an OpenAPI document. It
// exits when its standard input closes, which happens when its parent process exits.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
require("@stoplight/prism-cli/dist/index.js");
