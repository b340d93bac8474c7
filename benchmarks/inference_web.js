// One peer of inference_web.py: node inference_web.js PEER MODEL PEERS_FOLDER. A line of facts; then, for each line read,
// {"wall_s", "cpu_s"} of one call, until standard input ends.
"use strict";
const fs = require("fs"), path = require("path"), readline = require("readline");
const [peer, model, folder] = process.argv.slice(2);

async function ours(kind) {
    const api = require(path.resolve(model + ".js"));
    const net = await api.create({kind}), inputs = {};
    for (const t of api.inputs) inputs[t.name] = new Float32Array(t.size).map((_, i) => Math.sin(i));
    return {call: () => net.run(inputs)[api.outputs[0].name], bytes: fs.statSync(model + ".js").size};
}

async function ort() {
    const ort = require(path.resolve(folder, "node_modules/onnxruntime-web/dist/ort.wasm.min.js"));
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(fs.readFileSync(model + ".onnx"), {executionProviders: ["wasm"]});
    const shapes = JSON.parse(fs.readFileSync(model + ".json")), inputs = {};
    for (const [name, shape] of Object.entries(shapes)) {
        const size = shape.reduce((a, b) => a * b, 1);
        inputs[name] = new ort.Tensor("float32", new Float32Array(size).map((_, i) => Math.sin(i)), shape);
    }
    return {call: async () => (await session.run(inputs))[session.outputNames[0]].data,
            bytes: fs.statSync(model + ".onnx").size
                + fs.statSync(path.resolve(folder, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")).size};
}

(async () => {
    const began = performance.now();
    const made = peer === "onnxruntime-web" ? await ort() : await ours(peer.replace("mxdl-", ""));
    const created = performance.now(), answer = await made.call();
    console.log(JSON.stringify({start_ms: created - began, bytes: made.bytes, node: process.version,
                                answer: Array.from(answer.slice(0, 100))}));
    for await (const _ of readline.createInterface({input: process.stdin})) {
        const cpu = process.cpuUsage(), wall = performance.now();
        await made.call();
        const used = process.cpuUsage(cpu);
        console.log(JSON.stringify({wall_s: (performance.now() - wall) / 1e3, cpu_s: (used.user + used.system) / 1e6}));
    }
})().catch(error => { console.error(error.stack); process.exit(1); });
