/** Builds elements; text is always text, so nothing that comes from the service can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. Properties: `class`, `on` ({event: listener}), `data` ({name: value}), anything else is an attribute;
 * true sets it empty, false, null and undefined leave it out. Children: nodes, strings, numbers, arrays; null is left out.
 */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an SVG element, as `el` does. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, { on = {}, data = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  Object.assign(element.dataset, data);
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put these children in the place of whatever the element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

let numbered = 0;

/** Give an id that no other element of this page has. */
export function freshId(prefix) {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

/** Put these children in the place of the old ones; the focus stays on the link, button or field that looks the same. */
export function redraw(element, ...children) {
  const held = element.contains(document.activeElement) ? likeness(document.activeElement) : null;
  put(element, ...children);
  if (held === null) return;
  const again = [...element.querySelectorAll("a, button, input, select, summary")].find((one) => likeness(one) === held);
  if (again) again.focus({ preventScroll: true });
}

const likeness = (element) => [element.tagName, element.getAttribute("href"), element.getAttribute("aria-label"), element.textContent].join(" ");

/** Tell something to everybody, also those who listen: it is shown for some seconds at the edge of the page. */
export function tell(text) {
  const told = document.querySelector("dialog[open] .told") || document.getElementById("told");
  const line = el("p", {}, text);
  told.append(line);
  setTimeout(() => line.remove(), 8000);
}
