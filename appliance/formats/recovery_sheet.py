"""The recovery key as a page to print: words, base32, and a code that a camera reads.

Owns one self-contained HTML page that loads nothing. It never writes it anywhere.
"""

from __future__ import annotations

from html import escape

from appliance.formats.recovery_key import format_base32, word_rows

_QR_SCALE = 6  # pixels of the image per module; print keeps them sharp
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Holdfast recovery key {name}</title>
<style>
@page {{ margin: 18mm }}
body {{ font: 11pt sans-serif; max-width: 174mm; margin: auto }}
code, td {{ font: 12pt monospace }}
td, th {{ padding: 1mm 3mm; text-align: left }}
img {{ image-rendering: pixelated; width: 60mm }}
</style>
</head>
<body>
<h1>Holdfast recovery key</h1>
<p>Store <code>{store_id}</code><br>
Key <code>{name}</code>, made {created}, printed {printed}</p>
<p>With this key everything in the store can be read, on any machine. Without it, and without the
box, nothing can. Keep this sheet where the box is not, and delete the file it was printed from.</p>
<p><img alt="QR code of the line below" src="{image}"></p>
<p><code>base32: {base32}</code></p>
<table>
<tr><th>row</th><th colspan="4">words</th><th>check</th></tr>
{rows}
</table>
<h2>To prove that it works, today and once a year</h2>
<p><code>holdfast key check</code> and type the rows with their numbers, or the line above.</p>
<h2>To restore</h2>
<ol>
<li>Put the folder <code>store</code> into <code>STATE</code> on any machine with Holdfast.</li>
<li>Write the words, or the line above, into a file: <code>key.txt</code></li>
<li><code>holdfast --state STATE unlock --recovery-key key.txt</code></li>
<li><code>holdfast --state STATE points</code>, then
<code>holdfast --state STATE restore MACHINE@latest disk.raw</code></li>
<li>Delete <code>key.txt</code>.</li>
</ol>
<p>Without Holdfast: <code>docs/format/restore.py</code> of its source restores with this key from
the folder <code>store</code> alone.</p>
</body>
</html>
"""


def format_sheet(key: bytes, *, store_id: str, name: str, created: str, printed: str) -> str:
    """The page for the 32 bytes of `key`; foreign text in it is escaped."""
    import segno  # noqa: PLC0415 - hardly any command needs it

    base32 = format_base32(key)
    # Capitals only, so that the code needs few modules; the key is read in any case.
    code = segno.make_qr(f"BASE32:{base32}", error="m")
    rows = [
        f"<tr><td>{number}</td>{''.join(f'<td>{word}</td>' for word in row)}<td>{digits}</td></tr>"
        for number, (row, digits) in enumerate(word_rows(key), 1)
    ]
    return _PAGE.format(
        store_id=escape(store_id),
        name=escape(name),
        created=escape(created),
        printed=escape(printed),
        base32=base32,
        image=code.png_data_uri(scale=_QR_SCALE),
        rows="\n".join(rows),
    )
