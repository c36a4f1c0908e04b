#!/usr/bin/env python3
"""Writes inputs to begin with, a folder a target, from what the repository has: seed.py FOLDER

Frames of Kafka's own classes (tests/data/frames), of real clients (tests/data/captures), batches of Kafka's own classes
(tests/data/records), and the texts in fuzz/seeds.
"""

import hashlib
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADER = 61  # bytes of a batch before its records


def main(folder: Path):
    def put(target: str, content: bytes):
        into = folder / target
        into.mkdir(parents=True, exist_ok=True)
        (into / hashlib.sha1(content).hexdigest()).write_bytes(content)

    for texts in (ROOT / "fuzz" / "seeds").iterdir():
        shutil.copytree(texts, folder / texts.name, dirs_exist_ok=True)

    streams = []
    for line in (DATA / "frames" / "frames.txt").read_text().splitlines():
        key, version, side, _, hexed = line.split(" ")
        frame = bytes.fromhex(hexed)
        if side == "request":
            put("requests", frame)
        else:
            put("responses", int(key).to_bytes(2, "big") + int(version).to_bytes(2, "big") + frame)
        if len(frame) < 100:
            streams.append(len(frame).to_bytes(4, "big") + frame)
    for path in (DATA / "requests").glob("*.bin"):
        put("requests", path.read_bytes())
    for path in (DATA / "captures").glob("*.txt"):
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                frame = bytes.fromhex(line.split(" ")[-1])
                put("requests", frame)
                streams.append(len(frame).to_bytes(4, "big") + frame)
    for n in range(0, len(streams), 40):
        put("frames", bytes([n % 255 + 1]) + b"".join(streams[n : n + 3]))
    put("frames", b"\x09GET / HTTP/1.1\r\n")

    for number, codec in enumerate(CODECS):
        payload = (DATA / "records" / f"{codec}.bin").read_bytes()
        put("recovery", b"\x02\x00" + payload[:4096])
        put("records", bytes([number, 1]) + payload[:4096])
        at = 0
        while at + HEADER <= len(payload):
            size = 12 + int.from_bytes(payload[at + 8 : at + 12], "big")
            count = int.from_bytes(payload[at + 57 : at + 61], "big")
            if count < 256 and size < 4096:
                put("records", bytes([number, count]) + payload[at + HEADER : at + size])
            at += size


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
