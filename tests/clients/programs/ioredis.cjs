// ioredis: a connection of role master and one of role slave. Arguments: the group, the key to write, the ports of the nodes.
"use strict";

const Redis = require("ioredis");
const { tell, look, write } = require("./tell.cjs");

const [name, key, ...ports] = process.argv.slice(2);
const sentinels = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
tell({ client: "ioredis", version: require("ioredis/package.json").version });

const connection = (options) => {
  const redis = new Redis({ sentinels, name, ...options });
  redis.on("error", (error) => tell({ trouble: String(error) }));
  return redis;
};
const primary = connection({});
const replica = connection({ role: "slave" });
look("primary", () => primary.info("server"));
look("replica", () => replica.info("server"));
write((value) => primary.sadd(key, value));
