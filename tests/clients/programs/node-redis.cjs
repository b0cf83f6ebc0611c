// node-redis: one sentinel object, whose reads go to replicas. Arguments: the group, the key to write, the ports of the nodes.
"use strict";

const { createSentinel } = require("redis");
const { tell, look, write } = require("./tell.cjs");

// It prints what it survives; here every line is a happening.
console.log = ((print) => (first) => print(typeof first === "string" ? first : JSON.stringify({ trouble: String(first) })))(
  console.log.bind(console),
);

async function main() {
  const [name, key, ...ports] = process.argv.slice(2);
  const sentinelRootNodes = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
  tell({ client: "node-redis", version: require("redis/package.json").version });
  const sentinel = createSentinel({ name, sentinelRootNodes, replicaPoolSize: 1 });
  sentinel.on("error", (error) => tell({ trouble: String(error) }));
  await sentinel.connect();
  look("primary", () => sentinel.use((primary) => primary.info("server")));
  look("replica", () => sentinel.info("server"));
  write((value) => sentinel.sAdd(key, value));
}

main().catch((error) => {
  tell({ trouble: `the end: ${error.stack}` });
  process.exit(1);
});
