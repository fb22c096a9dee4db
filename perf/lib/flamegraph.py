#!/usr/bin/env python3
"""flamegraph.py - folded stacks to one self-contained SVG.

    flamegraph.py FOLDED [-o OUT.svg] [--title T] [--subtitle S] [--unit samples] [--icicle]
                  [--diff OLD-FOLDED] [--min-percent P] [--colors stage|plain]

A frame is as wide as its share of the total; what it calls stands on it. Frames of one stage
([inflate], [decode], see fold.py) share a colour. In a browser: click a frame to zoom, click the
ground to go back, "Search" (or ctrl-F, /) marks what matches a regular expression and sums it up.
With --diff, frames are red that took a larger share than in OLD and blue that took a smaller one.
Frames narrower than --min-percent of the whole are left out of the picture, not of the sums.
"""
import argparse
import colorsys
import html
import sys
import zlib

import fold

WIDTH, PAD, ROW, FONT = 1200, 10, 17, 11
DEEP = 32
CHAR = 6.65  # width of a character of the fixed font at 11 px
STAGE_HUE = {  # hue, saturation, lightness
    "read": (.57, .55, .72), "inflate": (.07, .85, .66), "crc": (.48, .45, .66),
    "decode": (.33, .45, .66), "extract": (.15, .75, .63), "encode": (.93, .55, .74),
    "write": (.70, .45, .78), "start": (.60, .10, .78), "runtime": (.55, .18, .80),
    "kernel": (.04, .22, .76), "other": (.11, .12, .84),
}


class Node:
    __slots__ = ("name", "total", "old", "kids")

    def __init__(self, name):
        self.name, self.total, self.old, self.kids = name, 0, 0.0, {}


def tree(folded, old=None):
    """The root of the tree of calls. Weights of `old` are scaled to the total of `folded`."""
    root = Node("all")

    def add(stacks, attr, scale):
        for stack, n in stacks.items():
            n *= scale
            node = root
            setattr(node, attr, getattr(node, attr) + n)
            for f in stack.split(";"):
                node = node.kids.setdefault(f, Node(f))
                setattr(node, attr, getattr(node, attr) + n)

    add(folded, "total", 1)
    if old:
        add(old, "old", root.total / (sum(old.values()) or 1))
    return root


def hex_color(h, s, l):
    return "#%02x%02x%02x" % tuple(round(255 * c) for c in colorsys.hls_to_rgb(h, l, s))


def stage_color(name, stage, plain):
    h, s, l = STAGE_HUE.get(stage, STAGE_HUE["other"])
    if plain:
        h, s, l = (.58, .35, .72) if name.endswith("_[k]") else (.08, .65, .70)
    # Three tones, so that neighbours differ and the file stays small.
    return hex_color(h, s, l + (zlib.crc32(name.encode()) % 3 - 1) * .035)


def diff_color(node, whole):
    change = (node.total - node.old) / (whole or 1)
    share = min(1.0, abs(change) * 12) ** .6
    if abs(change) < .0005:
        return "#eeeeee"
    low = round(238 - 160 * share)
    return "#%02x%02x%02x" % ((245, low, low) if change > 0 else (low, low, 245))


def place(root, floor):
    """[(node, depth, start, stage)], frames below `floor` left out; heaviest names first would
    move frames between pictures, so siblings are in the order of their names."""
    out, depth_max = [], 0
    stack = [(root, 0, 0.0, "other")]
    while stack:
        node, depth, at, stage = stack.pop()
        name = node.name
        if name[0] == "[" and name[-1] == "]" and name[1:-1] in STAGE_HUE:
            stage = name[1:-1]
        out.append((node, depth, at, stage))
        depth_max = max(depth_max, depth)
        for k in sorted(node.kids.values(), key=lambda n: n.name):
            # One deep stack that is hardly there would make the picture mostly empty.
            if k.total > floor * (1 if depth < DEEP else 8):
                stack.append((k, depth + 1, at, stage))
            at += k.total
    return out, depth_max


STYLE = """text{font:%dpx 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#111;pointer-events:none}
rect{stroke:#fff;stroke-width:.5}g.f{cursor:pointer}g.f:hover rect{stroke:#000}
.t{font:600 16px sans-serif}.s{font:11px sans-serif;fill:#555}.b{pointer-events:all;cursor:pointer;\
fill:#06c;font:12px sans-serif}.h rect{fill:#d0f!important}.a rect{opacity:.45}""" % FONT

SCRIPT = r"""
(function(){
var svg=document.documentElement,W=%(wide)f,P=%(pad)d,C=%(char)f,
fs=[].slice.call(document.querySelectorAll('g.f')),info=document.getElementById('info'),
back=document.getElementById('back'),found=document.getElementById('found'),re=null;
fs.forEach(function(g){var r=g.querySelector('rect'),t=g.querySelector('text');
g.x=+r.getAttribute('x')-P;g.w=+r.getAttribute('width');g.y=+r.getAttribute('y');
var s=g.querySelector('title').textContent;g.full=s;g.nm=s.slice(0,s.lastIndexOf(' ('));
if(!t){t=document.createElementNS('http://www.w3.org/2000/svg','text');
t.setAttribute('y',g.y+%(base)d);g.appendChild(t);}
g.r=r;g.t=t;g.onclick=function(e){zoom(g);e.stopPropagation();};
g.onmouseover=function(){info.textContent=g.full;};g.onmouseout=function(){info.textContent='';};});
function draw(g,x,w){g.r.setAttribute('x',x+P);g.r.setAttribute('width',w);
var n=Math.floor((w-4)/C);g.t.setAttribute('x',x+P+3);
g.t.textContent=n<3?'':(g.nm.length<=n?g.nm:g.nm.slice(0,n-2)+'..');}
function zoom(z){var k=W/z.w,e=.01;fs.forEach(function(g){
var inside=g.x>=z.x-e&&g.x+g.w<=z.x+z.w+e&&%(above)s,
under=g.x<=z.x+e&&g.x+g.w>=z.x+z.w-e&&%(below)s;
g.style.display=inside||under?'':'none';g.classList.toggle('a',under&&g!==z);
if(under)draw(g,0,W);else if(inside)draw(g,(g.x-z.x)*k,g.w*k);});
back.style.display=z.x>0||z.w<W-e?'':'none';}
function reset(){zoom(fs[0]);}
function search(){var s=prompt('Regular expression of function names; empty: none',re?re.source:'');
if(s===null)return;re=null;try{if(s)re=new RegExp(s);}catch(x){alert(x.message);return;}
var hits=[];fs.forEach(function(g){var h=!!re&&re.test(g.nm);g.classList.toggle('h',h);
if(h)hits.push(g);});
hits.sort(function(a,b){return a.x-b.x||b.w-a.w;});var end=-1,sum=0;
hits.forEach(function(g){if(g.x>=end-.001){sum+=g.w;end=g.x+g.w;}});
found.textContent=re?'matched: '+(100*sum/W).toFixed(1)+' %%':'';}
document.getElementById('search').onclick=search;back.onclick=reset;
document.getElementById('ground').onclick=reset;
window.addEventListener('keydown',function(e){
if(e.key==='/'||((e.ctrlKey||e.metaKey)&&e.key==='f')){e.preventDefault();search();}
if(e.key==='Escape')reset();});
})();
"""


def short(name, wide):
    n = int((wide - 4) / CHAR)
    return "" if n < 3 else name if len(name) <= n else name[:n - 2] + ".."


def num(x):
    return ("%.2f" % x).rstrip("0").rstrip(".")


def legend(folded, y, diff):
    if diff:
        return ['<text class="s" x="%d" y="%d">red: a larger share than before, blue: a smaller '
                'one</text>' % (PAD, y)]
    sums, total = {}, sum(folded.values()) or 1
    for stack, n in folded.items():
        stage = fold.Stages.last(stack.split(";"))
        sums[stage] = sums.get(stage, 0) + n
    out, x = [], PAD
    for stage, n in sorted(sums.items(), key=lambda i: -i[1]):
        text = "%s %.1f %%" % (stage, 100 * n / total)
        if x + 24 + len(text) * 6 > WIDTH:
            break
        out.append('<rect x="%d" y="%d" width="11" height="11" fill="%s"/>'
                   '<text class="s" x="%d" y="%d">%s</text>'
                   % (x, y - 10, hex_color(*STAGE_HUE[stage]), x + 15, y, text))
        x += 28 + len(text) * 6
    return out


def svg(folded, title, subtitle="", unit="samples", icicle=False, old=None, min_percent=.1,
        plain=False):
    root = tree(folded, old)
    whole = root.total or 1
    frames, depth_max = place(root, whole * min_percent / 100)
    top, bottom = 66, 34
    height = top + (depth_max + 1) * ROW + bottom
    wide = WIDTH - 2 * PAD
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">'
           % (WIDTH, height, WIDTH, height),
           "<style>%s</style>" % STYLE,
           '<rect id="ground" width="100%" height="100%" fill="#fcfcfc"/>',
           '<text class="t" x="%d" y="24">%s</text>' % (PAD, html.escape(title)),
           '<text class="s" x="%d" y="40">%s</text>' % (PAD, html.escape(subtitle)),
           '<text class="b" id="search" x="%d" y="24" text-anchor="end">Search</text>'
           % (WIDTH - PAD),
           '<text class="b" id="back" x="%d" y="24" text-anchor="end" style="display:none">'
           'Zoom out</text>' % (WIDTH - PAD - 60),
           '<text class="s" id="found" x="%d" y="40" text-anchor="end"></text>' % (WIDTH - PAD),
           '<text class="s" id="info" x="%d" y="%d"></text>' % (PAD, height - 12)]
    if not plain:
        out += legend(folded, 57, old is not None)
    for node, depth, at, stage in frames:
        x, w = PAD + wide * at / whole, wide * node.total / whole
        y = top + depth * ROW if icicle else top + (depth_max - depth) * ROW
        text = "%s (%s %s, %.2f %%" % (node.name, num(node.total), unit, 100 * node.total / whole)
        if old is not None:
            text += ", before %.2f %%" % (100 * node.old / whole)
        color = diff_color(node, whole) if old is not None else stage_color(node.name, stage, plain)
        label = short(node.name, w)
        out.append('<g class="f"><title>%s)</title><rect x="%s" y="%d" width="%s" height="%d" '
                   'fill="%s"/>%s</g>'
                   % (html.escape(text), num(x), y, num(w), ROW - 1, color,
                      '<text x="%s" y="%d">%s</text>' % (num(x + 3), y + 12, html.escape(label))
                      if label else ""))
    out.append("<script><![CDATA[%s]]></script>" % (SCRIPT % {
        "wide": wide, "pad": PAD, "char": CHAR, "base": 12,
        "above": "g.y>=z.y" if icicle else "g.y<=z.y",
        "below": "g.y<=z.y" if icicle else "g.y>=z.y"}))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    ap = argparse.ArgumentParser(description="folded stacks to SVG")
    ap.add_argument("folded")
    ap.add_argument("-o", "--output")
    ap.add_argument("--title", default="flame graph")
    ap.add_argument("--subtitle", default="")
    ap.add_argument("--unit", default="samples")
    ap.add_argument("--icicle", action="store_true")
    ap.add_argument("--diff", metavar="OLD")
    ap.add_argument("--min-percent", type=float, default=.1)
    ap.add_argument("--colors", choices=("stage", "plain"), default="stage")
    a = ap.parse_args()
    text = svg(fold.load(a.folded), a.title, a.subtitle, a.unit, a.icicle,
               fold.load(a.diff) if a.diff else None, a.min_percent, a.colors == "plain")
    if a.output:
        with open(a.output, "w") as f:
            f.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
