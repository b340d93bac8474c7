// The peers of inference_web.py, for Node and for a page: start(peer, model, io) gives {call, bytes}, where call() runs
// the net once and gives its answer. io.bytes(path) reads a file, io.library(name) gives a peer's library.
"use strict";
(function (root) {
    const wave = size => new Float32Array(size).map((_, i) => Math.sin(i));
    const count = shape => shape.reduce((a, b) => a * b, 1);

    /* What an input holds: a wave, or for integers (int32) numbers `from` on, `below` of them. */
    const filled = input => input.dtype === "float32" ? wave(count(input.shape))
        : new Int32Array(count(input.shape)).map((_, i) => input.from + 7 * i % input.below);
    const described = async (model, io) => Object.entries(JSON.parse(new TextDecoder().decode(await io.bytes(model + ".json"))));

    async function ours(kind, model, io) {
        const api = io.library("mxdl"), net = await api.create({kind}), inputs = {};
        for (const [name, input] of await described(model, io)) inputs[name] = filled(input);
        return {call: () => net.run(inputs)[api.outputs[0].name], bytes: (await io.bytes(model + ".js")).length};
    }

    async function ort(model, io) {
        const ort = io.library("onnxruntime-web"), file = await io.bytes(model + ".onnx");
        ort.env.wasm.numThreads = 1;
        const session = await ort.InferenceSession.create(file, {executionProviders: ["wasm"]});
        const inputs = {};
        for (const [name, input] of await described(model, io))
            inputs[name] = new ort.Tensor(input.dtype, filled(input), input.shape);
        return {call: async () => (await session.run(inputs))[session.outputNames[0]].data, bytes: file.length};
    }

    /* The steps of inference_web_plan.py. The picture is turned to NHWC before the clock starts. */
    async function tfjs(model, io) {
        const tf = io.library("tfjs-wasm");
        await tf.setBackend("wasm");
        await tf.ready();
        const steps = JSON.parse(new TextDecoder().decode(await io.bytes(model + ".plan.json")));
        const file = await io.bytes(model + ".plan.bin");
        const numbers = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
        const kept = p => tf.tensor(numbers.subarray(p.at, p.at + p.shape.reduce((a, b) => a * b, 1)), p.shape);
        for (const s of steps) for (const key of ["w", "b"]) if (s[key]) s[key] = kept(s[key]);
        const [[name, input]] = await described(model, io);
        const picture = tf.tidy(() => tf.transpose(tf.tensor(filled(input), input.shape), [0, 2, 3, 1]));
        const pad = p => [[0, 0], [p[0], p[2]], [p[1], p[3]], [0, 0]];
        const ops = {
            Conv: (s, x) => (s.depthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d)({
                x, filter: s.w, strides: s.strides, pad: pad(s.pads), bias: s.b, activation: s.then}),
            MaxPool: (s, x) => tf.maxPool(x, s.size, s.strides, pad(s.pads)),
            Gemm: (s, x) => tf.fused.matMul({a: x, b: s.w, bias: s.b, activation: s.then}),
            Add: (s, x, y) => tf.add(x, y), Relu: (s, x) => tf.relu(x), Clip: (s, x) => tf.relu6(x),
            GlobalAveragePool: (s, x) => tf.mean(x, [1, 2], true), Reshape: (s, x) => tf.reshape(x, [1, -1]),
            Identity: (s, x) => x,
        };
        function call() {
            const answer = tf.tidy(() => {
                const values = {[name]: picture};
                for (const s of steps) values[s.out] = ops[s.op](s, ...s.in.map(n => values[n]));
                return values[steps[steps.length - 1].out];
            });
            const found = answer.dataSync();
            answer.dispose();
            return found;
        }
        return {call, bytes: file.length};
    }

    const start = (peer, model, io) => peer === "onnxruntime-web" ? ort(model, io) : peer === "tfjs-wasm" ? tfjs(model, io)
        : ours(peer.replace("mxdl-", ""), model, io);
    root.start = start;
    if (typeof module === "object" && module.exports) module.exports = {start};
})(typeof globalThis === "undefined" ? self : globalThis);
