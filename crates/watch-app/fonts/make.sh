#!/bin/sh
# Makes Nodpay-Regular.otf and Nodpay-Bold.otf anew. Needs Debian's python3-fonttools and fonts-noto-cjk; the package
# fonts-noto-core is downloaded and unpacked to a temporary folder. Run it after a change of src/words.rs (the bold face
# holds the Hanzi of our own words only), and commit the two files. The same sources give the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cjk=/usr/share/fonts/opentype/noto
noto=${NOTO_DIR:-}
if [ -z "$noto" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && apt-get download fonts-noto-core && dpkg -x fonts-noto-core_*.deb .)
    noto=$work/usr/share/fonts/truetype/noto
fi
/usr/bin/python3 "$here/make.py" "$cjk/NotoSansCJK-Regular.ttc" "$cjk/NotoSansCJK-Bold.ttc" "$noto" \
    "$here/../src/words.rs" "$here"
