#!/usr/bin/env python3
"""Makes the watch's two fonts out of Noto fonts: see make.sh, which fetches the sources and calls this.

    make.py CJK_REGULAR.ttc CJK_BOLD.ttc NOTO_DIR WORDS.rs OUT_DIR

Nodpay-Regular.otf  every character a merchant's text may well hold (see `wanted`); the face for outside text.
Nodpay-Bold.otf     Latin, Greek, Cyrillic, figures and currency signs, and of the Hanzi only those of our own words.

Each character comes from the first source that has it, so that a word never mixes faces: Noto Sans (Latin, Greek,
Cyrillic, currency), Noto Sans CJK SC (Hanzi, kana, CJK punctuation), Noto Sans Symbols, Symbols 2 and Math. All of
them have 1000 units per em. Hints, layout features and unused glyphs are left out: the watch draws horizontal text from
the character map, and the outlines are most of the file.
"""

import sys
import unicodedata
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.misc.roundTools import otRound
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.transformPen import TransformPen
from fontTools.ttLib import TTCollection, TTFont

HERE = Path(__file__).resolve().parent

COPYRIGHT = (
    "Made from Noto Sans CJK SC (Copyright 2014-2021 Adobe), Noto Sans (Copyright 2015 Google LLC), "
    "Noto Sans Symbols, Symbols 2 and Math (Copyright 2017 Google Inc.)"
)
LICENSE = "This Font Software is licensed under the SIL Open Font License, Version 1.1."

# Line metrics of both faces, so that bold and regular share a base line.
ASCENT, DESCENT = 1000, -280

# Characters that are never drawn as such: control, format, surrogate, private use, unassigned. And marks that stand on
# another letter: without a layout table two of them would cover each other. What NFC leaves of them is escaped.
NOT_DRAWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Mc", "Me"}
# Letters and marks without ink, by name though not by category: a glyph for them would hide them.
NO_INK = {0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0}


def chars(first, last):
    drawn = (c for c in range(first, last + 1) if unicodedata.category(chr(c)) not in NOT_DRAWN)
    return set(drawn) - NO_INK


def general_standard_hanzi():
    """The 8,105 Hanzi of 通用规范汉字表 (State Council of China, 2013), sorted by code point."""
    hanzi = {ord(c) for c in (HERE / "hanzi-tgh-2013.txt").read_text("utf-8") if not c.isspace()}
    assert len(hanzi) == 8105, len(hanzi)
    return hanzi


def gb2312():
    """All of GB/T 2312: 6,763 Hanzi and its symbols, kana, Greek and Cyrillic letters, box drawing."""
    found = set()
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                found.add(ord(bytes([high, low]).decode("gb2312")))
            except UnicodeDecodeError:
                pass
    return found


def big5_frequent():
    """The 5,401 frequent Hanzi of Big5, for the shops of Hong Kong, Macao and Taiwan."""
    found = set()
    for high in range(0xA4, 0xC7):
        for low in (*range(0x40, 0x7F), *range(0xA1, 0xFF)):
            try:
                found.add(ord(bytes([high, low]).decode("big5")))
            except UnicodeDecodeError:
                pass
    return {c for c in found if is_cjk(c)}


def alphabets():
    return (
        chars(0x0020, 0x024F)  # Latin, Latin-1, Extended-A and -B
        | chars(0x0250, 0x02FF)  # phonetic letters, modifiers
        | chars(0x0370, 0x03FF)  # Greek
        | chars(0x0400, 0x052F)  # Cyrillic
        | chars(0x1E00, 0x1EFF)  # Latin with two accents (Vietnamese)
        | chars(0x1F00, 0x1FFF)  # Greek with accents
        | chars(0x2000, 0x206F)  # punctuation
        | chars(0x2070, 0x209F)  # raised and lowered figures
        | chars(0x20A0, 0x20C0)  # currency
    )


def symbols():
    return (
        chars(0x2100, 0x218F)  # letter-like, fractions
        | chars(0x2190, 0x21FF)  # arrows
        | chars(0x2200, 0x22FF)  # mathematics
        | chars(0x2300, 0x23FF)  # technical
        | chars(0x2460, 0x24FF)  # circled
        | chars(0x2500, 0x27BF)  # boxes, shapes, miscellaneous symbols, dingbats
        | chars(0x3000, 0x30FF)  # CJK punctuation, kana
        | chars(0x3100, 0x312F)  # bopomofo
        | chars(0x3200, 0x33FF)  # enclosed, units
        | chars(0xFE30, 0xFE4F)
        | chars(0xFF00, 0xFFEF)  # full width
        | {0xFFFD}
    )


class Source:
    def __init__(self, font):
        assert font["head"].unitsPerEm == 1000
        self.font = font
        self.cmap = font.getBestCmap()
        self.glyphs = font.getGlyphSet()


def open_cjk(path):
    for font in TTCollection(path, lazy=True).fonts:
        if font["name"].getDebugName(16) == "Noto Sans CJK SC" or font["name"].getDebugName(1) == "Noto Sans CJK SC":
            return Source(font)
    raise SystemExit(f"{path}: no Noto Sans CJK SC in it")


def is_cjk(code):
    """Characters whose shape should be the CJK face's although Noto Sans has them too."""
    return 0x2E80 <= code <= 0xA4CF or 0xF900 <= code <= 0xFAFF or 0xFE30 <= code <= 0xFE4F or 0xFF00 <= code <= 0xFFEF


def charstring(source, name):
    width = otRound(source.glyphs[name].width)
    pen = T2CharStringPen(width, source.glyphs)
    source.glyphs[name].draw(pen)
    return width, pen.getCharString()


def build(family, style, weight, wanted, latin, cjk, more, out):
    charstrings, metrics, cmap, made = {}, {}, {}, {}

    def add(name, width, string):
        charstrings[name] = string
        metrics[name] = (width, 0)

    # .notdef: a box, so that a mistake is seen. `displayable` keeps it from ever being drawn.
    pen = T2CharStringPen(600, None)
    for x0, y0, x1, y1 in ((60, 0, 540, 700), (120, 60, 480, 640)):
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        pen.moveTo(corners[0])
        for corner in corners[1:] if x0 == 60 else reversed(corners[1:]):
            pen.lineTo(corner)
        pen.closePath()
    add(".notdef", 600, pen.getCharString())

    order = [".notdef"]
    for code in sorted(wanted):
        for source in ([cjk, latin] if is_cjk(code) else [latin, cjk]) + more:
            if code in source.cmap:
                break
        else:
            continue
        key = (id(source), source.cmap[code])
        if key not in made:
            name = f"u{code:04X}"
            width, string = charstring(source, source.cmap[code])
            add(name, width, string)
            order.append(name)
            made[key] = name
        cmap[code] = made[key]

    ps_name = f"{family.replace(' ', '')}-{style}"
    fb = FontBuilder(1000, isTTF=False)
    fb.setupGlyphOrder(order)
    fb.setupCharacterMap(cmap)
    fb.setupCFF(ps_name, {"FullName": family, "FamilyName": family, "Weight": style}, charstrings, {})
    fb.setupHorizontalMetrics(metrics)
    fb.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT)
    fb.setupNameTable(
        {
            "copyright": COPYRIGHT,
            "familyName": family,
            "styleName": style,
            "uniqueFontIdentifier": ps_name,
            "fullName": family,
            "psName": ps_name,
            "version": "Version 1.000",
            "licenseDescription": LICENSE,
            "licenseInfoURL": "https://openfontlicense.org",
        },
        mac=False,
    )
    fb.setupOS2(
        sTypoAscender=ASCENT,
        sTypoDescender=DESCENT,
        sTypoLineGap=0,
        usWinAscent=ASCENT,
        usWinDescent=-DESCENT,
        sxHeight=536,
        sCapHeight=714,
        usWeightClass=weight,
        fsSelection=0x40 if weight == 400 else 0x20,
    )
    fb.font["head"].macStyle = 0 if weight == 400 else 1
    fb.setupPost(keepGlyphNames=False)
    # Same input, same bytes.
    fb.font["head"].created = fb.font["head"].modified = 3_800_000_000
    fb.font.recalcTimestamp = False
    fb.save(out)
    print(f"{out}: {out.stat().st_size} bytes, {len(cmap)} characters, {len(order)} glyphs")
    return set(cmap)


def main():
    cjk_regular, cjk_bold, noto_dir, words, out_dir = map(Path, sys.argv[1:])

    def noto(name):
        return Source(TTFont(noto_dir / name))

    regular_more = [noto("NotoSansSymbols-Regular.ttf"), noto("NotoSansSymbols2-Regular.ttf"), noto("NotoSansMath-Regular.ttf")]
    hanzi = general_standard_hanzi() | {c for c in gb2312() if is_cjk(c)} | big5_frequent()
    wanted = hanzi | gb2312() | alphabets() | symbols()
    have = build(
        "Nodpay", "Regular", 400, wanted, noto("NotoSans-Regular.ttf"), open_cjk(cjk_regular), regular_more,
        out_dir / "Nodpay-Regular.otf",
    )
    assert hanzi <= have, sorted(map(chr, hanzi - have))
    assert gb2312() <= have, sorted(map(chr, gb2312() - have))
    missing = sorted((alphabets() | symbols()) - have)
    print("wanted, but in no source:", " ".join(f"{c:04X}" for c in missing))

    ours = {ord(c) for c in words.read_text("utf-8") if not c.isspace()}
    build(
        "Nodpay Bold", "Bold", 700, alphabets() | ours, noto("NotoSans-Bold.ttf"), open_cjk(cjk_bold), [],
        out_dir / "Nodpay-Bold.otf",
    )


main()
