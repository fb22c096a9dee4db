#!/usr/bin/python3
# menu_svg.py OUT.svg: the picture of `make menuconfig` in the README, made from the real screen: it
# is started in a terminal of tmux with the default configuration, keys are sent as a person would,
# and what the terminal shows, colours included, becomes rectangles and text. Needs tmux and
# kconfiglib; run by `make kconfig-picture` from the root of the sources.
import html
import os
import re
import subprocess
import sys
import tempfile
import time

COLS, ROWS = 92, 26
CELL_W, CELL_H, FONT = 8.4, 17, 14
PALETTE = ["#000000", "#aa0000", "#00aa00", "#aa5500", "#0000aa", "#aa00aa", "#00aaaa", "#aaaaaa",
           "#555555", "#ff5555", "#55ff55", "#ffff55", "#5555ff", "#ff55ff", "#55ffff", "#ffffff"]
STEPS = (0, 95, 135, 175, 215, 255)
# What a person does on the way to the screen that is shown: keys, and what must then be seen.
WAY = [(None, "Run profile"), ("/", "Jump to symbol"), ("mem-per-core", "CANP_RT_MEM_PER_CORE"),
       ("Enter", "mem-per-core"), ("F", "Arena of each shard")]


def colour(n):
    if n < 16:
        return PALETTE[n]
    if n < 232:
        n -= 16
        return "#%02x%02x%02x" % (STEPS[n // 36], STEPS[n // 6 % 6], STEPS[n % 6])
    return "#%02x%02x%02x" % ((8 + 10 * (n - 232),) * 3)


class Pen:
    """The state that SGR sequences change."""

    def __init__(self):
        self.fg, self.bg, self.bold, self.reverse = 7, 0, False, False

    def sgr(self, text):
        codes = [int(c or 0) for c in text.split(";")]
        while codes:
            c = codes.pop(0)
            if c == 0:
                self.__init__()
            elif c == 1:
                self.bold = True
            elif c == 22:
                self.bold = False
            elif c in (7, 27):
                self.reverse = c == 7
            elif 30 <= c <= 37 or 90 <= c <= 97:
                self.fg = c - 30 if c < 90 else c - 82
            elif 40 <= c <= 47 or 100 <= c <= 107:
                self.bg = c - 40 if c < 100 else c - 92
            elif c in (38, 48) and codes[:1] == [5]:
                setattr(self, "fg" if c == 38 else "bg", codes[1])
                del codes[:2]
            elif c in (39, 49):
                setattr(self, "fg" if c == 39 else "bg", 7 if c == 39 else 0)

    def colours(self):
        fg, bg = self.fg + (8 if self.bold and self.fg < 8 else 0), self.bg
        return (colour(bg), colour(self.fg)) if self.reverse else (colour(fg), colour(bg))


def spans(line, pen):
    """(column, text, foreground, background) of one line of the capture."""
    out, col = [], 0
    for part in re.split("(\x1b\\[[0-9;]*m|\x0e|\x0f)", line):
        if part.startswith("\x1b"):
            pen.sgr(part[2:-1])
        elif part and part not in "\x0e\x0f":
            out.append((col, part) + pen.colours())
            col += len(part)
    if col < COLS:
        out.append((col, " " * (COLS - col)) + pen.colours())
    return out


def svg(capture):
    width, height = COLS * CELL_W, ROWS * CELL_H
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g">'
           % (width, height, width),
           '<title>make menuconfig</title>',
           '<rect width="100%" height="100%" fill="#000" shape-rendering="crispEdges"/>',
           '<g font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="%d" '
           'shape-rendering="crispEdges" xml:space="preserve">' % FONT]
    pen = Pen()
    for row, line in enumerate(capture.split("\n")[:ROWS]):
        for col, text, fg, bg in spans(line, pen):
            x, n = col * CELL_W, len(text)
            if bg != "#000000":
                out.append('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
                           % (x, row * CELL_H, n * CELL_W, CELL_H, bg))
            lead = len(text) - len(text.lstrip())
            if text.strip():
                out.append('<text x="%.1f" y="%d" fill="%s" textLength="%.1f">%s</text>'
                           % (x + lead * CELL_W, row * CELL_H + FONT - 1, fg,
                              len(text.strip()) * CELL_W, html.escape(text.strip(), False)))
    return "\n".join(out + ["</g>", "</svg>", ""])


def screen(folder):
    tmux = ["tmux", "-f", "/dev/null", "-S", folder + "/tmux"]
    env = dict(os.environ, LC_ALL="C.UTF-8", TERM="screen-256color",
               KCONFIG_CONFIG=folder + "/config", MENUCONFIG_STYLE="aquatic")
    env.pop("TMUX", None)
    subprocess.run([sys.executable, "-m", "defconfig", "--kconfig", "kconfig/Kconfig",
                    "kconfig/configs/canp_defconfig"], env=env, check=True, capture_output=True)
    subprocess.run(tmux + ["new-session", "-d", "-x", str(COLS), "-y", str(ROWS),
                           sys.executable + " -m menuconfig kconfig/Kconfig"], env=env, check=True)
    try:
        subprocess.run(tmux + ["set", "-g", "status", "off"], check=True)
        for keys, want in WAY:
            if keys:
                subprocess.run(tmux + ["send-keys", keys], check=True)
            for _ in range(100):
                time.sleep(0.2)
                text = subprocess.run(tmux + ["capture-pane", "-p", "-e"], check=True,
                                      capture_output=True, text=True).stdout
                if want in re.sub("\x1b\\[[0-9;]*m", "", text):
                    break
            else:
                sys.exit("menu_svg: no '%s' on the screen" % want)
        return text
    finally:
        subprocess.run(tmux + ["kill-server"], check=False)


def main():
    with tempfile.TemporaryDirectory() as folder:
        text = svg(screen(folder))
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(text)


main()
