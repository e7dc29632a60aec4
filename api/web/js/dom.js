// A tree of plain objects made into elements, and changed in place when it is rendered again: what has the focus keeps
// it, and screen readers hear only of what is new.

const SVG = "http://www.w3.org/2000/svg";
const AS_PROPERTIES = new Set(["value", "checked", "disabled", "open", "selected"]);

/** One element. `key` among its siblings makes it the same element in the next rendering, wherever it stands then. */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: flat(children), key: props?.key };
}

/** Make the children of `container` those that are given. */
export function render(container, ...children) {
  patchChildren(container, flat(children), container.namespaceURI === SVG);
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function patchChildren(parent, wanted, inSvg) {
  const old = [...parent.childNodes];
  const byKey = new Map(old.filter((node) => node.key !== undefined).map((node) => [node.key, node]));
  const used = new Set();
  let cursor = parent.firstChild;
  for (const child of wanted) {
    while (cursor && used.has(cursor)) cursor = cursor.nextSibling;
    let node = child.key !== undefined ? byKey.get(child.key) : cursor;
    if (!node || used.has(node) || !isSame(node, child)) node = create(child, inSvg);
    else patch(node, child, inSvg);
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
    used.add(node);
  }
  for (const node of old) if (!used.has(node)) node.remove();
}

function isSame(node, child) {
  if (typeof child !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.nodeType === Node.ELEMENT_NODE && node.localName === child.tag && node.key === child.key;
}

function create(child, inSvg) {
  if (typeof child !== "object") return document.createTextNode(child);
  const isSvg = inSvg || child.tag === "svg";
  const node = isSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node.key = child.key;
  node.shown = {};
  patch(node, child, inSvg);
  return node;
}

function patch(node, child, inSvg) {
  if (typeof child !== "object") {
    if (node.data !== String(child)) node.data = child;
    return;
  }
  const before = node.shown;
  for (const name of Object.keys(before)) if (!(name in child.props)) set(node, name, null);
  // The children first: a select can only have the value of an option that is there.
  patchChildren(node, child.children, inSvg || child.tag === "svg");
  for (const [name, value] of Object.entries(child.props)) {
    // Only what has changed: what the reader has typed meanwhile stays.
    if (before[name] !== value) set(node, name, value);
  }
  node.shown = child.props;
}

function set(node, name, value) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name.toLowerCase()] = value;
  else if (AS_PROPERTIES.has(name)) setProperty(node, name, value);
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

function setProperty(node, name, value) {
  const wanted = value ?? (name === "value" ? "" : false);
  if (node[name] !== wanted) node[name] = wanted;
}
