// SPDX-License-Identifier: Apache-2.0
// Looks at a page as a browser has laid it out, and lists what a reader would stumble over. checkPage(window, source) returns a
// list of {kind, what, where}.
'use strict';

// WCAG 2.2: 1.4.3 for text, 1.4.11 for what a chart is drawn with.
const leastTextContrast = 4.5;
const leastLargeContrast = 3;
const leastLineContrast = 3;
const leastTextSize = 9.5;  // px on the screen, after a chart has been scaled

function parseColour(text) {
  const numbers = text.match(/[\d.]+/g);
  if (!text.startsWith('rgb') || numbers === null) return null;
  const [r, g, b, a] = numbers.map(Number);
  return {r, g, b, a: a === undefined ? 1 : a};
}

function over(front, back) {
  const mix = (x, y) => x * front.a + y * (1 - front.a);
  return {r: mix(front.r, back.r), g: mix(front.g, back.g), b: mix(front.b, back.b), a: 1};
}

function luminance({r, g, b}) {
  const linear = value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
}

function contrast(a, b) {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

function nameOf(element) {
  const kind = element.getAttribute('class');
  const id = element.id ? '#' + element.id : '';
  const text = (element.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 60);
  return `<${element.localName}${id}${kind ? '.' + kind.replace(/ /g, '.') : ''}> "${text}"`;
}

function checkPage(win, source) {
  const doc = win.document;
  const found = [];
  const report = (kind, what, element) => found.push({kind, what, where: element ? nameOf(element) : 'the page'});
  const style = element => win.getComputedStyle(element);
  const round = value => Math.round(value * 10) / 10;

  function isVisible(element) {
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true})) return false;
    for (let at = element; at instanceof win.Element; at = at.parentElement) {
      if (style(at).clipPath !== 'none') return false;  // for screen readers alone
    }
    return true;
  }
  function scrollerOf(element) {
    for (let at = element.parentElement; at && at !== doc.body; at = at.parentElement) {
      if (/auto|scroll/.test(style(at).overflowX)) return at;
    }
    return null;
  }
  // The canvas has the root's colour, or the body's, or the colour scheme's own.
  function backgroundOf(element) {
    let colour = {r: 0, g: 0, b: 0, a: 0};
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parseColour(style(at).backgroundColor));
    const canvas = win.matchMedia('(prefers-color-scheme: dark)').matches ? {r: 18, g: 18, b: 18, a: 1} : {r: 255, g: 255, b: 255, a: 1};
    colour = canvas;
    for (const layer of layers.reverse()) if (layer) colour = over(layer, colour);
    return colour;
  }
  function opacityOf(element) {
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(style(at).opacity);
    return opacity;
  }

  const elements = [...doc.body.querySelectorAll('*')];
  const width = doc.documentElement.clientWidth;

  // --- overflow --------------------------------------------------------------------------------------------------------------
  if (doc.documentElement.scrollWidth > width) {
    report('overflow', `the page is ${doc.documentElement.scrollWidth} px wide in a window of ${width}`);
  }
  for (const element of elements) {
    if (!isVisible(element) || element.closest('svg') !== null && element.localName !== 'svg') continue;
    const box = element.getBoundingClientRect();
    const scroller = scrollerOf(element);
    if (scroller === null && box.width > 0 && (box.right > width + 1 || box.left < -1)) {
      report('overflow', `reaches from ${round(box.left)} to ${round(box.right)} px in a window of ${width}`, element);
    }
    const scrolls = /auto|scroll/.test(style(element).overflowX);
    if (!scrolls && style(element).display !== 'inline' && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) {
      report('overflow', `holds ${element.scrollWidth} px in ${element.clientWidth}`, element);
    }
    if (scrolls && element.scrollWidth > element.clientWidth + 1 && (element.tabIndex < 0 || !element.hasAttribute('aria-label'))) {
      report('keyboard', 'scrolls and cannot be reached by keyboard, or has no name', element);
    }
  }

  // --- text: size, contrast, overlap -------------------------------------------------------------------------------------------
  const labels = [];
  const walker = doc.createTreeWalker(doc.body, win.NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const element = node.parentElement;
    if (!node.data.trim() || /^(title|desc|style|script)$/.test(element.localName) || !isVisible(element)) continue;
    const range = doc.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter(box => box.width > 0 && box.height > 0);
    if (boxes.length === 0) continue;
    const computed = style(element);
    const svg = element.closest('svg');
    const scale = svg === null ? 1 : svg.getBoundingClientRect().width / (svg.viewBox.baseVal.width || svg.getBoundingClientRect().width);
    const size = parseFloat(computed.fontSize) * scale;
    if (size < leastTextSize) report('small', `text of ${round(size)} px`, element);
    const ink = parseColour(svg === null ? computed.color : computed.fill);
    if (ink !== null) {
      const back = backgroundOf(element);
      const ratio = contrast(over({...ink, a: ink.a * opacityOf(element)}, back), back);
      const large = size >= 24 || size >= 18.66 && Number(computed.fontWeight) >= 700;
      if (ratio < (large ? leastLargeContrast : leastTextContrast) - 0.005) {
        report('contrast', `${Math.round(100 * ratio) / 100} : 1`, element);
      }
    }
    for (const box of boxes) labels.push({box, element, svg});
  }
  labels.sort((a, b) => a.box.top - b.box.top);
  for (let i = 0; i < labels.length; ++i) {
    const one = labels[i];
    if (one.svg !== null) {
      const frame = one.svg.getBoundingClientRect();
      if (one.box.left < frame.left - 1 || one.box.right > frame.right + 1 || one.box.top < frame.top - 1 || one.box.bottom > frame.bottom + 1) {
        report('cut', 'a label reaches out of its chart', one.element);
      }
    }
    for (let k = i + 1; k < labels.length && labels[k].box.top < one.box.bottom; ++k) {
      const other = labels[k];
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      // A line of text is higher than its letters: a quarter of it is free.
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (across > 1 && down > 0.3 * Math.min(one.box.height, other.box.height)) {
        report('overlap', `lies over ${nameOf(other.element)}`, one.element);
      }
    }
  }

  // --- lines of charts -------------------------------------------------------------------------------------------------------------
  for (const line of doc.querySelectorAll('svg .series')) {
    const stroke = parseColour(style(line).stroke);
    if (!isVisible(line) || stroke === null) continue;
    const back = backgroundOf(line);
    const ratio = contrast(over({...stroke, a: stroke.a * opacityOf(line)}, back), back);
    if (ratio < leastLineContrast - 0.005) report('contrast', `a line of ${Math.round(100 * ratio) / 100} : 1`, line);
  }

  // --- what a reader without eyes or mouse has ---------------------------------------------------------------------------------------
  for (const image of doc.querySelectorAll('img')) {
    if (!image.alt) report('alternative', 'a picture without a text', image);
    if (isVisible(image) && !(image.complete && image.naturalWidth > 0)) report('picture', 'is not shown', image);
  }
  for (const svg of doc.querySelectorAll('svg')) {
    if (svg.getAttribute('aria-hidden') === 'true') continue;
    const texts = [...svg.children].filter(child => /^(title|desc)$/.test(child.localName) && child.textContent.trim());
    if (svg.getAttribute('role') !== 'img' || texts.length < 2) report('alternative', 'a chart without role, title and description', svg);
  }
  for (const table of doc.querySelectorAll('table')) {
    if (table.querySelector('th[scope=col]') === null) report('alternative', 'a table without heads of its columns', table);
  }
  if (!doc.documentElement.lang || !doc.title.trim()) report('alternative', 'a page without language or title');
  const ids = new Set();
  for (const element of doc.querySelectorAll('[id]')) {
    if (ids.has(element.id)) report('structure', 'an id that stands twice', element);
    ids.add(element.id);
  }
  for (const link of doc.querySelectorAll('a[href^="#"]')) {
    if (!ids.has(link.getAttribute('href').slice(1))) report('structure', 'a link to nowhere', link);
  }
  for (const element of doc.querySelectorAll('[src], link, image, use')) {
    const address = element.getAttribute('src') || element.getAttribute('href') || '';
    if (!/^(data:|#)/.test(address)) report('outside', `needs ${address}`, element);
  }

  // --- two parsers, one tree: well-formed, and nothing that HTML's parser would close or move ------------------------------------------
  const strict = new win.DOMParser().parseFromString(source, 'application/xhtml+xml');
  const wrong = strict.querySelector('parsererror');
  if (wrong !== null) {
    report('structure', wrong.textContent.replace(/\s+/g, ' ').slice(0, 200));
  } else {
    const loose = new win.DOMParser().parseFromString(source, 'text/html');
    const a = [...strict.documentElement.getElementsByTagName('*')];
    const b = [...loose.documentElement.getElementsByTagName('*')];
    const depth = element => {
      let count = 0;
      for (let at = element; at; at = at.parentElement) ++count;
      return count;
    };
    for (let i = 0; i < Math.max(a.length, b.length); ++i) {
      if (!a[i] || !b[i] || a[i].localName !== b[i].localName || depth(a[i]) !== depth(b[i])) {
        report('structure', 'HTML reads another tree than is written', a[i] || b[i]);
        break;
      }
    }
  }
  return found;
}
