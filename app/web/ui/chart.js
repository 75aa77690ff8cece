/** Draws how large the backups were. */

import { el, freshId, svg } from "./dom.js";
import { bytes, exactly } from "./format.js";

const SHOWN = 40;
const WIDTH = 720;
const HEIGHT = 120;
const GAP = 0.28;

/** Make the chart of the newest backups, oldest on the left; nothing where there are fewer than two. */
export function sizeChart(backups) {
  const shown = backups.slice(0, SHOWN).reverse();
  if (shown.length < 2) return null;
  const most = Math.max(...shown.map((backup) => backup.size), 1);
  const title = freshId("chart");
  const words = summary(shown);
  const bars = shown.map((backup, index) => bar(backup, index, WIDTH / Math.max(shown.length, 12), most));
  const size = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
  const picture = svg("svg", { class: "chart", ...size, role: "img", "aria-labelledby": `${title} ${title}-more` },
    svg("title", { id: title }, "Sizes of the backups"),
    svg("desc", { id: `${title}-more` }, words),
    svg("line", { class: "ground", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    bars);
  return el("figure", { class: "sizes" }, picture, el("figcaption", { class: "hint" }, words));
}

const lacks = (backup) => backup.outcome === "partial" || backup.choice.length > 0;

function bar(backup, index, width, most) {
  const height = Math.max(2, (backup.size / most) * (HEIGHT - 4));
  const place = { x: (index + GAP / 2) * width, y: HEIGHT - height, width: width * (1 - GAP), height };
  const tip = `${exactly(backup.created_at)}: ${bytes(backup.size)}${lacks(backup) ? ", not everything" : ""}`;
  return svg("rect", { class: lacks(backup) ? "less" : "", ...place }, svg("title", {}, tip));
}

function summary(shown) {
  const sizes = shown.map((backup) => backup.size);
  const least = bytes(Math.min(...sizes));
  const most = bytes(Math.max(...sizes));
  const less = shown.some(lacks) ? " Those that do not have everything are drawn in another colour." : "";
  const range = least === most ? `all about ${most}` : `from ${least} to ${most}`;
  return `Sizes of the newest ${shown.length} backups, oldest on the left: ${range}. The last one has ${bytes(sizes.at(-1))}.${less}`;
}
