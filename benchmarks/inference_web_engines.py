"""Where a peer of inference_web.py runs: a Node process, or a page of headless Chromium; both on one core."""
from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import threading
from pathlib import Path
from urllib.parse import urlsplit

from browser import Browser

HERE = Path(__file__).parent
SCRIPTS = {"mxdl": ["/model.js"], "onnxruntime-web": ["/peers/onnxruntime-web/dist/ort.wasm.min.js"],
           "tfjs-wasm": ["/peers/@tensorflow/tfjs-core/dist/tf-core.min.js",
                         "/peers/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js"]}
REPEATS = 8   # least calls between two readings of a page's CPU time, which is counted in steps of 10 ms
READING_MS = 300    # that so many calls take at least
#: what the engine of a peer weighs beside the model, in node_modules
RUNTIME = {"onnxruntime-web": ["onnxruntime-web/dist/ort.wasm.min.js",
                               "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"],
           "tfjs-wasm": ["@tensorflow/tfjs-core/dist/tf-core.min.js",
                         "@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js",
                         "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm"]}


def old_node() -> bool:
    return int(subprocess.run(["node", "-p", "process.versions.node"], capture_output=True, text=True,
                              check=True).stdout.split(".")[0]) < 22


class Node:
    """A peer's process, pinned to the last core; its first call is done."""

    def __init__(self, peer: str, stem: Path, peers: str):
        core = max(os.sched_getaffinity(0))
        flags = ["--experimental-wasm-relaxed-simd"] if peer == "mxdl-relaxed" and old_node() else []
        self.process = subprocess.Popen(["node", *flags, HERE / "inference_web.js", peer, stem, peers],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{peer}: Node ended early")
        self.info, self.times = json.loads(line), []

    def call(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


class Chromium:
    """A peer's page, served over loopback; its first call is done.  CPU time is that of the page's process."""

    def __init__(self, peer: str, stem: Path, peers: str):
        library = peer if peer in SCRIPTS else "mxdl"
        (stem.parent / "page.html").write_text("<!doctype html><title>.</title>" + "".join(
            f'<script src="{source}"></script>' for source in [*SCRIPTS[library], "/inference_web_peers.js"]))
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Files, places={"/peers": Path(peers, "node_modules"), "": stem.parent}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._browser = Browser(core=max(os.sched_getaffinity(0)))
        self._browser.call("Performance.enable")
        self._browser.open(f"http://127.0.0.1:{self._server.server_port}/page.html")
        self.info = self._browser.run(PAGE % (json.dumps(peer), json.dumps(stem.name)))
        self.info["engine"] = "Chromium " + self._browser.run("navigator.userAgent.match(/Chrome.([0-9]+)/)[1]")
        self.times: list[dict] = []
        self._repeats = max(REPEATS, int(READING_MS / max(self._wall_ms(REPEATS) / REPEATS, 0.01)))

    def _wall_ms(self, calls: int) -> float:
        return self._browser.run(f"(async () => {{ const t = performance.now(); "
                                 f"for (let i = 0; i < {calls}; ++i) await made.call(); "
                                 f"return performance.now() - t; }})()")

    def _cpu(self) -> float:
        metrics = self._browser.call("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime")

    def call(self) -> None:
        before = self._cpu()
        wall = self._wall_ms(self._repeats)
        self.times.append({"wall_s": wall / 1e3 / self._repeats, "cpu_s": (self._cpu() - before) / self._repeats})

    def close(self) -> None:
        self._browser.__exit__()
        self._server.shutdown()
        self._server.server_close()


class Files(http.server.SimpleHTTPRequestHandler):
    """Read-only files of a few folders, by the beginning of the path."""

    def __init__(self, *args, places: dict[str, Path]):
        self._places = {**places, "/inference_web_peers.js": HERE / "inference_web_peers.js"}
        super().__init__(*args)

    def translate_path(self, path: str) -> str:
        path = urlsplit(path).path
        start = next(s for s in sorted(self._places, key=len, reverse=True) if path.startswith(s))
        rest = path.removeprefix(start).lstrip("/")
        return str(self._places[start] / rest if rest else self._places[start])

    def log_message(self, *_: object) -> None:
        """Silence: the table is what is printed."""


PAGE = """(async () => {
    const libraries = {
        mxdl: () => globalThis.model, "onnxruntime-web": () => ort,
        "tfjs-wasm": () => {
            tf.wasm.setWasmPaths("/peers/@tensorflow/tfjs-backend-wasm/dist/");
            tf.wasm.setThreadsCount(1);
            return tf;
        },
    };
    const bytes = async file => {
        const answer = await fetch("/" + file);
        if (!answer.ok) throw new Error(file + ": " + answer.status);
        return new Uint8Array(await answer.arrayBuffer());
    };
    const began = performance.now();
    globalThis.made = await start(%s, %s, {bytes, library: name => libraries[name]()});
    const created = performance.now(), answer = await made.call();
    return {start_ms: created - began, answer: Array.from(answer.slice(0, 100))};
})()"""
