// What the programs for Node share: how they tell, how they end, how they look and write.
"use strict";

const PAUSE_MS = 20;
const LOOK_MS = 200;

const tell = (happening) => console.log(JSON.stringify(happening));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdout.on("error", () => process.exit(0));

// Where a handle leads, again and again. `info` answers INFO server.
async function look(role, info) {
  for (;;) {
    try {
      tell({ [role]: Number(/tcp_port:(\d+)/.exec(await info())[1]) });
    } catch (error) {
      tell({ trouble: `${role}: ${error}` });
    }
    await sleep(LOOK_MS);
  }
}

// `add` adds a value to the set of those written.
async function write(add) {
  for (let value = 1; ; value++) {
    try {
      await add(String(value));
      tell({ wrote: value });
    } catch (error) {
      tell({ failed: value, why: String(error) });
    }
    await sleep(PAUSE_MS);
  }
}

module.exports = { tell, look, write };
