"""A small data set drawn by integer arithmetic, the same here and in drawn_set.cc: pictures of mixed shapes with
rectangles on a gradient, labelled with boxes or with outlines. No pixel is grey, so that padding can be told apart."""

CLASSES = 4
# In eighths of the box: an octagon with a notch in its upper side.
OUTLINE = [(2, 0), (4, 3), (6, 0), (8, 2), (8, 6), (6, 8), (2, 8), (0, 6), (0, 2)]


class Draws:
    """The generator of goldens.uniform, as whole numbers below a limit."""

    def __init__(self, seed):
        self.seed, self.index = seed, 0

    def below(self, limit):
        x = (self.index + self.seed * 1000003) & 0xFFFFFFFF
        self.index += 1
        x ^= x >> 16
        x = (x * 0x7FEB352D) & 0xFFFFFFFF
        x ^= x >> 15
        x = (x * 0x846CA68B) & 0xFFFFFFFF
        x ^= x >> 16
        return ((x >> 8) * limit) >> 24


def millionths(numerator, denominator):
    return f"0.{1000000 * numerator // denominator:06d}" if numerator < denominator else "1.000000"


def bmp(rows, width, height):
    """A 24-bit bitmap of rows of (B, G, R) bytes, top row first."""
    padding = b"\0" * (-3 * width % 4)
    data = b"".join(row + padding for row in reversed(rows))
    header = b"BM" + (54 + len(data)).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    info = (40).to_bytes(4, "little") + width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return header + info + b"\1\0\x18\0" + bytes(4) + len(data).to_bytes(4, "little") + bytes(16) + data


def draw(index):
    """(bitmap, lines with boxes, lines with outlines) of the index-th picture."""
    d = Draws(1000 + index)
    w, h = 64 + d.below(129), 64 + d.below(129)
    b0, g0, r0 = 10 + d.below(40), 90 + d.below(30), 180 + d.below(40)
    rows = []
    for y in range(h):
        row = bytearray()
        for x in range(w):
            row += bytes((b0 + x * 40 // w, g0 + y * 40 // h, r0 + (x + y) * 20 // (w + h)))
        rows.append(row)
    boxes, outlines = [], []
    for _ in range(d.below(7)):
        kind, bw, bh = d.below(CLASSES), 6 + d.below(w // 2), 6 + d.below(h // 2)
        x0, y0 = d.below(w - bw), d.below(h - bh)
        colour = bytes((150 + d.below(100), 20 + d.below(40), 70 + d.below(40)))
        for y in range(y0, y0 + bh):
            rows[y][3 * x0 : 3 * (x0 + bw)] = colour * bw
        boxes.append(
            f"{kind} {millionths(2 * x0 + bw, 2 * w)} {millionths(2 * y0 + bh, 2 * h)} {millionths(bw, w)} {millionths(bh, h)}"
        )
        points = [f"{millionths(8 * x0 + bw * x, 8 * w)} {millionths(8 * y0 + bh * y, 8 * h)}" for x, y in OUTLINE]
        outlines.append(f"{kind} {' '.join(points)}")
    return bmp([bytes(row) for row in rows], w, h), boxes, outlines


def write(folder, count, outlined):
    """images/N.bmp and labels/N.txt under `folder`."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        picture, boxes, outlines = draw(index)
        (folder / "images" / f"{index:03d}.bmp").write_bytes(picture)
        (folder / "labels" / f"{index:03d}.txt").write_text("".join(f"{line}\n" for line in (outlines if outlined else boxes)))
