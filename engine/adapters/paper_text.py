"""Any text in the letters that a PDF's built-in fonts have (Windows-1252): kept, transliterated, or `?`.

Promises: never raises, never longer than eight times the text; the result always encodes to Windows-1252.
Why: the built-in fonts need no file and cover Western Europe. Names in other scripts stay whole in mail and pages.
"""

from __future__ import annotations

import unicodedata

ENCODING = "windows-1252"

# Letters that do not fall apart into a base letter and its marks.
_LATIN = dict(
    zip("łŁđĐħĦıŧŦŋŊĸəƏ", ["l", "L", "d", "D", "h", "H", "i", "t", "T", "n", "N", "k", "e", "E"], strict=True)
)
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        [
            "a",
            "v",
            "g",
            "d",
            "e",
            "z",
            "i",
            "th",
            "i",
            "k",
            "l",
            "m",
            "n",
            "x",
            "o",
            "p",
            "r",
            "s",
            "s",
            "t",
            "y",
            "f",
            "ch",
            "ps",
            "o",
        ],
        strict=True,
    )
)
_CYRILLIC = dict(
    zip(
        "абвгґдеєжзиіклмнопрстуфхцчшщъыьэюяёїйўђћљњјџѓќѕ",
        "a b v g g d e ie zh z i i k l m n o p r s t u f kh ts ch sh shch _ y _ e yu ya e i y u dj c lj nj j dz gj kj dz"
        .replace("_", "\0")
        .split(" "),
        strict=True,
    )
)  # fmt: skip
_SMALL = {letter: latin.replace("\0", "") for letter, latin in (_GREEK | _CYRILLIC).items()}
_TABLE = (
    _LATIN
    | _SMALL
    | {letter.upper(): latin.capitalize() for letter, latin in _SMALL.items() if letter != "ς"}
)

# Marks of the letters above them, and characters that show nothing: joiners, directions, emoji variations.
_UNSEEN = frozenset({"Mn", "Me", "Cf"})


def printable(text: str) -> str:
    """One line of `text`, printable in the built-in fonts; what cannot be spelled is `?`."""
    line = " ".join(text.split())
    return "".join(_letter(char) for char in unicodedata.normalize("NFC", line)).strip()


def _letter(char: str) -> str:
    if char in _TABLE:
        return _TABLE[char]
    category = unicodedata.category(char)
    if category in _UNSEEN:
        return ""
    if category.startswith("Z"):
        return " "
    if category.startswith("C"):
        return "?"
    if _fits(char):
        return char
    parts = unicodedata.normalize("NFKD", char)
    kept = [
        _TABLE.get(part) or (part if _fits(part) else "?")
        for part in parts
        if unicodedata.category(part) not in _UNSEEN
    ]
    return "".join(kept[:8]) if kept else "?"


def _fits(char: str) -> bool:
    try:
        char.encode(ENCODING)
    except UnicodeEncodeError:
        return False
    return True
