"""A directory of imports that looks like vLLM: its server takes the same flags, and caches as vLLM does.

What it "compiles" is one file per kernel below TORCHINDUCTOR_CACHE_DIR; it is found again only at the same
absolute path, by the same interpreter, model path and flags, as is true of vLLM's own caches.
"""

from pathlib import Path

SERVER = """
import hashlib, http.server, json, os, sys, time

def value(flag):
    return sys.argv[sys.argv.index(flag) + 1]

caches = os.environ["TORCHINDUCTOR_CACHE_DIR"]
stable = [part for flag, part in zip(sys.argv, sys.argv[1:]) if flag != "--port"]
key = hashlib.sha256(repr([caches, sys.prefix, value("--model"), stable]).encode()).hexdigest()[:16]
print(json.dumps({"argv": sys.argv, "env": dict(os.environ), "prefix": sys.prefix}), flush=True)
count = 3 if "--no-enforce-eager" in sys.argv else 0
kernels = [os.path.join(caches, key, f"{index}.so") for index in range(count)]
for path in kernels:
    if not os.path.exists(path):
        time.sleep(SLOW_S)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
print("init engine (profile, create kv cache, warmup model) took 0.10 s", flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def do_POST(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"choices": [{"text": " 4"}]}')
    def log_message(self, *_): pass

http.server.HTTPServer((value("--host"), int(value("--port"))), Handler).serve_forever()
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def write_vllm(folder: Path, *, vllm: str = "0.32.0", torch: str = "2.13.0", slow_s: float = 0.0) -> Path:
    """Write it; returns the directory to import from."""
    package = folder / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for inner in (package, package.parent, package.parent.parent):
        (inner / "__init__.py").touch()
    (package / "api_server.py").write_text(SERVER.replace("SLOW_S", str(slow_s)))
    for name, version in (("vllm", vllm), ("torch", torch)):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name=name, version=version))
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").touch()
    (folder / "torch" / "version.py").write_text("cuda = '13.0'\n")
    return folder
