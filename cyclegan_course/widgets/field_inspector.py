"""A score map to click in: each cell shows the patch of the picture that it judges."""

import html
import json
from collections.abc import Callable

import matplotlib
import numpy as np
from matplotlib.colors import Normalize, to_hex
from PIL import Image
from torch import Tensor

from cyclegan_course.display import data_uri, on_load, publish
from cyclegan_course.errors import CourseError
from cyclegan_course.plots.pictures import Picture, jpeg_bytes, picture_array
from cyclegan_course.plots.receptive_field import SCORE_COLOURS, SCORE_RANGE, Box, patch_view
from cyclegan_course.plots.style import figure_bytes

# Runs in the browser when the plain figure has loaded, and puts the interactive one in its place. A
# viewer that removes scripts (GitHub, a notebook that is not trusted yet) keeps the plain figure.
# No kernel takes part. Everything is found from `this`: an output may have a document of its own.
_INSPECT = """
const still = this, root = still.parentNode, page = root.ownerDocument;
if (root.dataset.ready) return;
root.dataset.ready = 'true';
const d = __DATA__;
const svg = (name, values, parent) => {
  const node = page.createElementNS('http://www.w3.org/2000/svg', name);
  for (const key in values) node.setAttribute(key, values[key]);
  if (parent) parent.appendChild(node);
  return node;
};
const element = (name, css, parent) => {
  const node = page.createElement(name);
  node.style.cssText = css;
  if (parent) parent.appendChild(node);
  return node;
};
const box = element('div', 'background:white; color:#222222; padding:10px; max-width:840px;'
  + 'display:inline-block; box-sizing:border-box; user-select:none', null);
const row = element('div', 'display:flex; flex-wrap:wrap; gap:14px; align-items:flex-start', box);
const column = (title, width) => {
  const part = element('div', 'flex:0 1 ' + width + 'px; min-width:160px', row);
  element('div', 'margin-bottom:4px', part).textContent = title;
  return part;
};
const grey = '#d9d9d9', zoomed = 'image-rendering:pixelated';
const left = column('Picture (grey: padding)', 300);
const middle = column('Score map: click, or arrow keys', 270);
const right = column('The patch of this cell', 200);

// The picture with a margin of padding, and the box of the cell.
const m = d.margin, w = d.width, h = d.height;
const view = svg('svg', {viewBox: [-m, -m, w + 2 * m, h + 2 * m].join(' '), width: '100%',
  role: 'img', 'aria-label': d.alt}, left);
view.style.cursor = 'crosshair';
svg('rect', {x: -m, y: -m, width: w + 2 * m, height: h + 2 * m, fill: grey}, view);
svg('image', {href: d.src, width: w, height: h, style: zoomed}, view);
const frame = (parent, width) => ['white', '#D55E00'].map((stroke, i) => svg('rect',
  {fill: 'none', stroke: stroke, 'stroke-width': width * (2 - i)}, parent));
const frames = frame(view, 1.4);

// The map: one square for each score.
const rows = d.tops.length, columns = d.lefts.length;
const holder = element('div', 'cursor:pointer; touch-action:none; border-radius:2px', middle);
holder.tabIndex = 0;
holder.setAttribute('role', 'application');
holder.setAttribute('aria-label',
  'score map of ' + rows + ' by ' + columns + ' cells; the arrow keys move');
holder.dataset.lmSuppressShortcuts = 'true';  // JupyterLab else takes the arrow keys for itself
const map = svg('svg', {viewBox: [-0.2, -0.2, columns + 0.4, rows + 0.4].join(' '),
  width: '100%', style: 'display:block'}, holder);
d.colours.forEach((colour, k) => svg('rect', {x: k % columns, y: Math.floor(k / columns),
  width: 1.02, height: 1.02, fill: colour}, map));
const marks = ['#222222', 'white'].map((stroke, i) => svg('rect',
  {fill: 'none', stroke: stroke, 'stroke-width': 0.4 - 0.2 * i, width: 1, height: 1}, map));
const legend = element('div', 'display:flex; align-items:center; margin-top:4px', middle);
element('span', '', legend).textContent = d.low;
element('span', 'flex:1; height:10px; margin:0 8px; background:linear-gradient(to right,'
  + d.ramp + ')', legend);
element('span', '', legend).textContent = d.high;

// The patch alone.
const patch = svg('svg', {width: '100%', role: 'img', 'aria-label': 'the patch'}, right);
const under = svg('rect', {fill: grey}, patch);
svg('image', {href: d.src, width: w, height: h, style: zoomed}, patch);
const words = element('div', 'margin-top:6px', right);
words.setAttribute('aria-live', 'polite');

let i = d.start[0], j = d.start[1];
const limit = (value, count) => Math.max(0, Math.min(count - 1, value));
const place = (node, x, y, width, height) => {
  node.setAttribute('x', x); node.setAttribute('y', y);
  node.setAttribute('width', width); node.setAttribute('height', height);
};
const draw = () => {
  const top = d.tops[i], bottom = d.bottoms[i], x = d.lefts[j], end = d.rights[j];
  for (const node of frames) place(node, x, top, end - x, bottom - top);
  for (const node of marks) place(node, j, i, 1, 1);
  patch.setAttribute('viewBox', [x, top, end - x, bottom - top].join(' '));
  place(under, x, top, end - x, bottom - top);
  const inside = Math.max(0, Math.min(bottom, h) - Math.max(top, 0))
    * Math.max(0, Math.min(end, w) - Math.max(x, 0));
  const share = Math.round(100 * (1 - inside / ((end - x) * (bottom - top))));
  words.textContent = 'row ' + i + ', column ' + j + ': score ' + d.scores[i * columns + j]
    + '. It sees rows ' + top + ' to ' + (bottom - 1) + ' and columns ' + x + ' to ' + (end - 1)
    + (share > 0 ? '; ' + share + ' % of this is padding.' : ', all inside the picture.');
};
const pick = (row, column) => { i = limit(row, rows); j = limit(column, columns); draw(); };
const at = (event, node, viewBox) => {
  const area = node.getBoundingClientRect();
  return [viewBox[1] + (event.clientY - area.top) / area.height * viewBox[3],
    viewBox[0] + (event.clientX - area.left) / area.width * viewBox[2]];
};
const fromMap = event => {
  const [y, x] = at(event, map, [-0.2, -0.2, columns + 0.4, rows + 0.4]);
  pick(Math.floor(y), Math.floor(x));
};
holder.onpointerdown = event => { event.preventDefault(); holder.focus();
  holder.setPointerCapture(event.pointerId); fromMap(event); };
holder.onpointermove = event => { if (event.buttons) fromMap(event); };
const nearest = (value, from, to) => {
  const away = from.map((first, k) => Math.abs((first + to[k]) / 2 - value));
  return away.indexOf(Math.min(...away));
};
view.onpointerdown = event => {
  const [y, x] = at(event, view, [-m, -m, w + 2 * m, h + 2 * m]);
  pick(nearest(y, d.tops, d.bottoms), nearest(x, d.lefts, d.rights));
};
const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
holder.onkeydown = event => {
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  pick(i + step[0], j + step[1]);
};
still.style.display = 'none';
root.appendChild(box);
draw();
"""


def field_inspector(
    picture: Picture,
    scores: Tensor,
    box_of: Callable[[int, int], Box],
    alt: str,
    *,
    start: tuple[int, int] = (0, 0),
) -> None:
    """Show a picture beside its score map. A click on a cell shows the patch that it sees.

    The arrow keys move from cell to cell, and a click in the picture picks the cell whose patch
    lies around it. Where scripts do not run, the cell `start` is shown as a plain figure.

    Args:
        picture: (H, W) pixels.
        scores: (h, w), one number for each cell, shown in colours from 0 to 1.
        box_of: gives (top, left, bottom, right) of a cell from its row and column; bottom and
            right are not included, and a box may reach into the padding.
        alt: text for those who do not see the figure.
        start: row and column of the first cell.

    Raises:
        CourseError: if scores are not a map of rows and columns, or there is no cell `start`.
    """
    if scores.ndim != 2:
        raise CourseError(
            f"The scores have the shape {tuple(scores.shape)}: give one map of rows and columns, "
            "for example D(x)[0, 0]."
        )
    if not all(0 <= place < count for place, count in zip(start, scores.shape, strict=True)):
        raise CourseError(
            f"There is no cell {tuple(start)} in a map of {scores.shape[0]} x {scores.shape[1]}: "
            "rows and columns are counted from 0."
        )
    scores = scores.detach().cpu().float()
    still = figure_bytes(patch_view(picture, scores, box_of, start))
    text = html.escape(alt)
    script = _INSPECT.replace("__DATA__", json.dumps(_data(picture, scores, box_of, alt, start)))
    publish(
        alt,
        html=f'<div><img style="max-width:100%" alt="{text}" '
        f'src="{data_uri(still)}" onload="{on_load(script)}"></div>',
        image=still,
    )


def _data(
    picture: Picture, scores: Tensor, box_of: Callable[[int, int], Box], alt: str, start: tuple
) -> dict:
    """What the script needs, in plain types."""
    array = picture_array(picture)
    rows, columns = scores.shape
    # Rows and columns of a convolution are independent: one list for each side is enough.
    vertical = [box_of(row, 0) for row in range(rows)]
    horizontal = [box_of(0, column) for column in range(columns)]
    colours = matplotlib.colormaps[SCORE_COLOURS]
    scaled = Normalize(*SCORE_RANGE, clip=True)(scores.numpy())
    return {
        "alt": alt,
        "src": data_uri(jpeg_bytes(Image.fromarray(array))),
        "height": array.shape[0],
        "width": array.shape[1],
        "margin": max(-vertical[0][0], -horizontal[0][1], 0) + 2,
        "tops": [box[0] for box in vertical],
        "bottoms": [box[2] for box in vertical],
        "lefts": [box[1] for box in horizontal],
        "rights": [box[3] for box in horizontal],
        "scores": [f"{score:.2f}" for score in scores.flatten().tolist()],
        "colours": [to_hex(colours(float(value))) for value in np.ravel(scaled)],
        "ramp": ",".join(to_hex(colours(k / 4)) for k in range(5)),
        "low": f"{SCORE_RANGE[0]:g} fake",
        "high": f"{SCORE_RANGE[1]:g} real",
        "start": list(start),
    }
