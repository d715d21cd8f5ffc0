"""Makes the picture of the page for the README: ``python -m tests.e2e.screenshot docs/page.png``."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import sys
import zlib
from pathlib import Path

from tests.e2e.browser import Browser, Tab
from tests.e2e.processes import Up, scratch

SIZE = (1440, 900)
SECONDS = 40  # of life before the picture: a plot needs something to show
LARGEST = 150_000  # bytes

# Draws a PNG on a canvas and counts it down to 256 colours; text and flat grounds look the same, in a third of the size.
REDUCE = """(async png => {
  const image = await createImageBitmap(await (await fetch('data:image/png;base64,' + png)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const one of pixels) counts.set(one, (counts.get(one) || 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([one]) => one);
  const parts = one => [one & 255, (one >> 8) & 255, (one >> 16) & 255];
  const known = new Map(palette.map((one, at) => [one, at]));
  const nearest = one => {
    const [r, g, b] = parts(one);
    let [best, least] = [0, Infinity];
    palette.forEach((other, at) => {
      const [x, y, z] = parts(other);
      const far = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (far < least) [best, least] = [at, far];
    });
    known.set(one, best);
    return best;
  };
  let text = '';
  for (const one of pixels) text += String.fromCharCode(known.get(one) ?? nearest(one));
  return [image.width, image.height, palette.flatMap(parts), btoa(text)];
})"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def reduced(tab: Tab, png: bytes) -> bytes:
    """The picture with a palette."""
    width, height, palette, text = await tab.value(f"{REDUCE}({json.dumps(base64.b64encode(png).decode())})")
    rows = base64.b64decode(text)
    lines = b"".join(b"\0" + rows[at : at + width] for at in range(0, width * height, width))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    data = chunk(b"PLTE", bytes(palette)) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + data


async def picture(browser: Browser, up: Up) -> bytes:
    """The page while the story is told."""
    up.wait_for("reconciled: ")
    async with browser.tab(SIZE) as tab, browser.tab() as blank:
        await tab.open(f"http://{up.http}/")
        await tab.until("document.querySelectorAll('.case').length >= 5", "the drifts of the story")
        await asyncio.sleep(SECONDS)
        await tab.value("scrollTo(0, 0)")
        return await reduced(blank, await tab.screenshot())


def main() -> None:
    target = Path(sys.argv[1])
    with scratch() as folder, Up(folder, "--spacing", "5") as up:
        browser = Browser(folder)
        made = asyncio.run(picture(browser, up))
        browser.quit()
    assert len(made) < LARGEST, f"{len(made)} bytes: too large for a README"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(made)
    sys.stdout.write(f"{target}: {len(made)} bytes\n")


if __name__ == "__main__":
    main()
