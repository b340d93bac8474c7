// One peer of inference_web.py in Node: node inference_web.js PEER MODEL PEERS_FOLDER. A line of facts; then, for each line
// read, {"wall_s", "cpu_s"} of one call, until standard input ends.
"use strict";
const fs = require("fs"), path = require("path"), readline = require("readline");
const {start} = require("./inference_web_peers.js");
const [peer, model, folder] = process.argv.slice(2);
const installed = name => path.resolve(folder, "node_modules", name);
const libraries = {
    mxdl: () => require(path.resolve(model + ".js")),
    "onnxruntime-web": () => require(installed("onnxruntime-web/dist/ort.wasm.min.js")),
    "tfjs-wasm": () => {
        const tf = require(installed("@tensorflow/tfjs-core")), wasm = require(installed("@tensorflow/tfjs-backend-wasm"));
        wasm.setWasmPaths(installed("@tensorflow/tfjs-backend-wasm/dist") + "/");
        wasm.setThreadsCount(1);
        return tf;
    },
};

(async () => {
    const began = performance.now();
    const made = await start(peer, model, {bytes: async file => fs.readFileSync(file), library: name => libraries[name]()});
    const created = performance.now(), answer = await made.call();
    console.log(JSON.stringify({start_ms: created - began, engine: "Node " + process.versions.node,
                                answer: Array.from(answer.slice(0, 100))}));
    for await (const _ of readline.createInterface({input: process.stdin})) {
        const cpu = process.cpuUsage(), wall = performance.now();
        await made.call();
        const used = process.cpuUsage(cpu);
        console.log(JSON.stringify({wall_s: (performance.now() - wall) / 1e3, cpu_s: (used.user + used.system) / 1e6}));
    }
})().catch(error => { console.error(error.stack); process.exit(1); });
