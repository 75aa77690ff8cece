/** The entries of an archive, gathered into folders. */

/** Hold what an archive has; `root` is its topmost folder, `entries` how many members were added. */
export class Listing {
  constructor() {
    this.root = folder("", "", null);
    this.entries = 0;
  }

  /** Take in one member, as the service describes it; folders that only its path names are made. */
  add(member) {
    this.entries += 1;
    const parts = printable(member.path).split("/").filter((part) => part !== "" && part !== ".");
    if (parts.length === 0) return;
    const name = parts.pop();
    const above = parts.reduce(within, this.root);
    if (member.kind === "directory" || member.kind === "folder") {
      within(above, name);
      return;
    }
    if (above.children.has(name)) return;
    above.children.set(name, { name, path: below(above, name), kind: member.kind, size: member.size, link: member.link && printable(member.link), above, children: null });
    above.sorted = null;
    for (let at = above; at; at = at.above) {
      at.files += 1;
      at.size += member.size;
    }
  }

  /** Give what has this text in its path: {shown, total}, at most `limit` of them shown. */
  find(text, limit) {
    const wanted = text.toLowerCase();
    const shown = [];
    let total = 0;
    const look = (node) => {
      if (node.path.toLowerCase().includes(wanted)) {
        total += 1;
        if (shown.length < limit) shown.push(node);
      }
      if (node.children) for (const child of inOrder(node)) look(child);
    };
    for (const child of inOrder(this.root)) look(child);
    return { shown, total };
  }
}

/** Give a name in which nothing hides, turns the text around or breaks the line, as the plan of a restore has it. */
const printable = (name) => name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);

/** Give what is in a folder, folders first, by name. */
export function inOrder(node) {
  node.sorted ??= [...node.children.values()].sort((one, other) => Boolean(other.children) - Boolean(one.children) || (one.name < other.name ? -1 : 1));
  return node.sorted;
}

function within(above, name) {
  const known = above.children.get(name);
  if (known && known.children) return known;
  const made = folder(name, below(above, name), above);
  above.children.set(name, made);
  above.sorted = null;
  return made;
}

const folder = (name, path, above) => ({ name, path, kind: "folder", size: 0, files: 0, above, children: new Map(), sorted: null, isOpen: false, shown: 0 });
const below = (above, name) => (above.path ? `${above.path}/${name}` : name);
