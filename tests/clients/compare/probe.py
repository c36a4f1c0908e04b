"""Drives Probe.java: one raw Kafka request at a time, and what came back."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = Path(os.environ.get("TOLLGATE_CLIENTS_DIR") or HERE.parents[2] / ".clients")


class Probe:
    """Probe.java must have been compiled: scripts/setup-clients java."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
             "-cp", f"{CLIENTS}/java/classes:{CLIENTS}/java/probe/*", "Probe", bootstrap],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def _line(self, **line) -> dict:
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise RuntimeError(f"the probe ended: {self.log.read()}")
        return json.loads(answer)

    def call(self, api: str, version: int, body: dict | None = None, **more) -> dict:
        """The answer's body, or {"closed"|"timeout"|"problem": ...}."""
        return self._line(api=api, version=version, body=body or {}, **more)

    def send(self, api: str, version: int, body: dict | None = None, **more) -> None:
        self._line(api=api, version=version, body=body or {}, send=True, **more)

    def recv(self, conn: str = "", timeout_ms: int = 15000) -> dict:
        return self._line(conn=conn, recv=True, timeout_ms=timeout_ms)

    def close(self, conn: str = "") -> None:
        self._line(conn=conn, close=True)
