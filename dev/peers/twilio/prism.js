// Prism, an HTTP server that validates requests against an OpenAPI document. It ends
// with whoever started it: then its standard input ends.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
require("@stoplight/prism-cli/dist/index.js");
