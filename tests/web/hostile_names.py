"""Three hundred names that Linux allows for a file and that a page must show as they are."""

from __future__ import annotations

import random

_MARKUP = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)<\u2215script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<iframe srcdoc='<b>x'>",
    "<base href='https:evil.test'>",
    "<style>*{display:none}",
    "<form action=evil><input name=password>",
    "<a href=javascript:alert(1)>x",
    "<math><mtext><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "data:text,html;base64,PHNjcmlwdD4=",
    "${alert(1)}",
    "{{constructor.constructor('alert(1)')()}}",
    "`${alert(1)}`",
    "]]><x>",
    "<!-- -->",
    "&lt;b&gt;",
    "&#60;b&#62;",
    "%3Cb%3E",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "toString",
    "null",
    "undefined",
    "NaN",
    "[object Object]",
    "#",
    "?a=b&c=d",
    "..\\..\\x",
    "a b  c",
    " leading",
    "trailing ",
    "=1+1",
    '=HYPERLINK("http:evil.test")',
    "@SUM(A1)",
    "+1",
    "-1",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "\u200b",
    "\ufeffbom",
    "e\u0301\u0301\u0301",
    "Z\u0351\u036b\u0343a\u0363l\u0369g\u0346o\u034d",
    "\U0001f4a3\U0001f3f3\ufe0f\u200d\U0001f308",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "new\nline",
    "tab\tbed",
    "\x1b[31mred",
    "\r",
    "\x7f",
    "x" * 255,
    "\u00fc" * 127,
    "\u4e2d" * 85,
)
_PIECES = (
    "<b>",
    "</b>".replace("/", "\u2215"),
    '"',
    "'",
    "&",
    ">",
    "\u202e",
    "\n",
    "%00",
    "\\",
    "é",
)


def _make() -> tuple[str, ...]:
    chooser = random.Random(300)
    names = list(_MARKUP)
    while len(names) < 300:
        name = "".join(chooser.choice(_PIECES) for _ in range(chooser.randint(2, 12)))
        if name not in names and len(name.encode()) <= 255:
            names.append(name)
    return tuple(names)


HOSTILE_NAMES = _make()
