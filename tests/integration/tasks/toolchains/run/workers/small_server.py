"""An HTTP server that behaves as its first argument says."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

HOW, HOST, PORT, NAME = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing of requests."""

    def do_GET(self):
        if self.path == "/die":
            print("asked to die", flush=True)
            os._exit(7)
        if self.path == "/name":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(NAME.encode())
            return
        busy = HOW == "never-ready"
        self.send_response(503 if busy else 200)
        self.end_headers()
        self.wfile.write(os.environ.get("RECIPE_SAYS", "").encode())


def main():
    print(f"starting {HOW}", flush=True)
    if HOW == "dies-early":
        sys.exit("no weights here")
    if HOW == "no-memory":
        sys.exit("torch.OutOfMemoryError: out of memory")
    if HOW == "wrong-gpu":
        generated = "The engine plan file is generated on an incompatible device"
        print(f"{generated}, expecting compute 9.0 got compute 8.9, please rebuild.", flush=True)
        sys.exit("Assertion failed: Failed to deserialize cuda engine.")
    if HOW == "taken-once" and not Path("was-taken").exists():
        Path("was-taken").touch()
        sys.exit("OSError: [Errno 98] Address already in use")
    if HOW == "with-child":
        code = "import time; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        print(f"child {child.pid}", flush=True)
    if HOW == "slow":
        time.sleep(0.5)
    server = HTTPServer((HOST, PORT), Handler)
    if HOW == "ends-well":
        threading.Timer(0.3, server.shutdown).start()
    server.serve_forever()


main()
