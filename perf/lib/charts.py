"""charts.py - small SVG charts of the reports: bars and histograms. No script, no fonts of its own."""
import html

WIDTH, PAD, ROW = 900, 14, 20


def frame(height, title, body):
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">'
        % (WIDTH, height, WIDTH, height),
        "<style>text{font:12px sans-serif;fill:#222}.t{font:600 15px sans-serif}"
        ".n{fill:#555}</style>",
        '<rect width="100%" height="100%" fill="#fcfcfc"/>',
        '<text class="t" x="%d" y="24">%s</text>' % (PAD, html.escape(title))] + body +
        ["</svg>"]) + "\n"


def bars(title, rows, text=lambda v: "%g" % v, color="#5b9bd5"):
    """rows: (label, value) or (label, value, colour), drawn in this order."""
    label = min(380, 20 + max([7 * len(r[0]) for r in rows] or [0]))
    room = WIDTH - 2 * PAD - label - 110
    most = max([r[1] for r in rows] or [0]) or 1
    out, y = [], 40
    for r in rows:
        w = room * r[1] / most
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>'
                   % (PAD + label - 8, y + 13, html.escape(r[0][:52])))
        out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>'
                   % (PAD + label, y, max(w, .5), ROW - 5, r[2] if len(r) > 2 else color))
        out.append('<text class="n" x="%.1f" y="%d">%s</text>'
                   % (PAD + label + max(w, .5) + 6, y + 13, html.escape(text(r[1]))))
        y += ROW
    return frame(y + 10, title, out)


def log2_rows(values, text):
    """Rows for bars(): how many of the values lie in each power of two."""
    n = {}
    for v in values:
        b = max(0, int(v)).bit_length()
        n[b] = n.get(b, 0) + 1
    if not n:
        return []
    return [("%s .. %s" % (text(1 << (b - 1) if b else 0), text(1 << b)), n.get(b, 0))
            for b in range(min(n), max(n) + 1)]


def save(path, svg):
    with open(path, "w") as f:
        f.write(svg)
