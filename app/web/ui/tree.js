/** A listing as a tree that is gone through by keyboard; only what is open is in the document. */

import { el, put } from "./dom.js";
import { bytes, count } from "./format.js";
import { inOrder } from "./listing.js";

const STEP = 200;

/** Make the tree of a listing; `draw()` shows what has come since. */
export function treeOf(listing) {
  const element = el("ul", { class: "tree", role: "tree", "aria-label": "Files in this backup" });
  let nodes = new Map(); // what stands behind each line
  let current = "";

  function draw() {
    const hadFocus = element.contains(document.activeElement);
    nodes = new Map();
    put(element, level(listing.root, 1, nodes));
    const lines = linesOf();
    const line = lines.find((one) => keyOf(one) === current) || lines[0];
    if (line) choose(line, { focus: hadFocus });
  }

  const linesOf = () => [...element.querySelectorAll('[role="treeitem"]')];
  const keyOf = (line) => nodes.get(line).key;

  function choose(line, { focus = true } = {}) {
    element.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    line.setAttribute("tabindex", "0");
    current = keyOf(line);
    if (focus) line.focus();
  }

  function press(line) {
    const { node, isMore } = nodes.get(line);
    if (isMore) node.shown += STEP;
    else if (node.children) node.isOpen = !node.isOpen;
    else return;
    const place = linesOf().indexOf(line);
    draw();
    if (isMore) choose(linesOf()[place]);
  }

  function moved(key, line) {
    const lines = linesOf();
    const at = lines.indexOf(line);
    const { node, isMore } = nodes.get(line);
    const isFolder = node.children && !isMore;
    const above = line.parentElement.closest('[role="treeitem"]');
    switch (key) {
      case "ArrowDown": return lines[at + 1];
      case "ArrowUp": return lines[at - 1];
      case "Home": return lines[0];
      case "End": return lines.at(-1);
      case "ArrowRight": return isFolder && node.isOpen ? lines[at + 1] : isFolder ? press(line) : null;
      case "ArrowLeft": return isFolder && node.isOpen ? press(line) : above;
      case "Enter": case " ": return press(line);
      default: return undefined;
    }
  }

  const KEYS = new Set(["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End", "Enter", " "]);
  element.addEventListener("keydown", (event) => {
    const line = event.target.closest('[role="treeitem"]');
    if (!line || !KEYS.has(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = moved(event.key, line);
    if (next) choose(next);
  });
  element.addEventListener("click", (event) => {
    const line = event.target.closest('[role="treeitem"]');
    if (!line) return;
    choose(line);
    press(line);
  });
  return { element, draw };
}

function level(folder, depth, nodes) {
  const all = inOrder(folder);
  folder.shown = Math.max(folder.shown, STEP);
  const lines = all.slice(0, folder.shown).map((node, index) => lineOf(node, { depth, index, total: all.length }, nodes));
  if (all.length > folder.shown) lines.push(moreLine(folder, all.length, depth, nodes));
  return lines;
}

function lineOf(node, { depth, index, total }, nodes) {
  const isFolder = node.children !== null;
  const line = el("li", {
    role: "treeitem", tabindex: -1, "aria-level": depth, "aria-posinset": index + 1, "aria-setsize": total,
    "aria-expanded": isFolder ? String(node.isOpen) : null, "aria-label": `${node.name}, ${said(node)}`,
  }, el("div", { class: "row" }, el("span", { class: "name" }, node.name), beside(node)));
  if (isFolder && node.isOpen) line.append(el("ul", { role: "group" }, level(node, depth + 1, nodes)));
  nodes.set(line, { node, key: node.path, isMore: false });
  return line;
}

function moreLine(folder, total, depth, nodes) {
  const text = `Show more of ${count(total - folder.shown, "entry", "entries")}`;
  const line = el("li", { role: "treeitem", class: "more", tabindex: -1, "aria-level": depth, "aria-label": text }, el("div", { class: "row" }, el("span", { class: "name" }, text)));
  nodes.set(line, { node: folder, key: `${folder.path}/`, isMore: true });
  return line;
}

function said(node) {
  if (node.children) return `folder, ${count(node.files, "file")}, ${bytes(node.size)}`;
  if (node.link) return `${node.kind} to ${node.link}`;
  return node.kind === "file" ? bytes(node.size) : node.kind;
}

function beside(node) {
  if (node.children) return [el("span", { class: "faint second" }, count(node.files, "file")), el("span", { class: "faint" }, bytes(node.size))];
  if (node.link) return el("span", { class: "faint" }, `→ ${node.link}`);
  return el("span", { class: "faint" }, node.kind === "file" ? bytes(node.size) : node.kind);
}
