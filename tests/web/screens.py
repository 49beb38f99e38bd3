"""Screenshots for the documents: small WebP files, written only where HOLDFAST_SCREENS says."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from playwright.sync_api import Page

VARIABLE = "HOLDFAST_SCREENS"
_QUALITY = 0.8
# The browser itself encodes WebP; nothing else is needed for it.
_ENCODE = """async ([png, quality]) => {
  const picture = await createImageBitmap(await (await fetch(png)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  const blob = await canvas.convertToBlob({type: "image/webp", quality});
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


def keep_screen(page: Page, name: str, *, whole: bool = False) -> None:
    """Write what `page` shows to NAME.webp in the folder that HOLDFAST_SCREENS names, if any."""
    if VARIABLE not in os.environ:
        return
    folder = Path(os.environ[VARIABLE])
    folder.mkdir(parents=True, exist_ok=True)
    png = base64.b64encode(page.screenshot(full_page=whole)).decode()
    blank = page.context.new_page()  # the box's own pages forbid to fetch a data: address
    try:
        webp = blank.evaluate(_ENCODE, [f"data:image/png;base64,{png}", _QUALITY])
    finally:
        blank.close()
    (folder / f"{name}.webp").write_bytes(base64.b64decode(webp))
