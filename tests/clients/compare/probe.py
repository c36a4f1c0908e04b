"""Drives Probe.java: one raw Kafka request at a time, and what came back."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENTS = Path(os.environ.get("TOLLGATE_CLIENTS_DIR") or HERE.parents[2] / ".clients")
JARS = CLIENTS / "java" / "broker"


def compiled() -> Path:
    """The folder with Probe's classes, compiled again when its source is newer."""
    out = CLIENTS / "java" / "probe"
    source = HERE / "Probe.java"
    made = out / "Probe.class"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        out.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["javac", "-nowarn", "-Xlint:none", "-cp", f"{JARS}/*", "-d", str(out), str(source)],
            check=True, stderr=subprocess.DEVNULL,
        )
    return out


class Probe:
    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
             "-cp", f"{compiled()}:{JARS}/*", "Probe", bootstrap],
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
