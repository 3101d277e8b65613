// Returns what a reader cannot read on the page: overlapping, cut or tiny text, broken pictures.
mayScroll => {
  const found = [], root = document.documentElement, texts = [];
  const short = text => text.trim().replace(/\s+/g, ' ').slice(0, 60);
  const scroller = element => element.closest('.wide');
  if (root.scrollWidth > root.clientWidth + 1)
    found.push(`page: ${root.scrollWidth} px wide in a frame of ${root.clientWidth}`);
  for (const element of document.querySelectorAll('.wide, pre, details, figure'))
    if (element.scrollWidth > element.clientWidth + 1 && !(mayScroll && scroller(element)))
      found.push(`cut: ${element.tagName} of ${element.scrollWidth} px in ${element.clientWidth}: `
        + short(element.textContent));
  for (const image of document.images)
    if (!image.naturalWidth) found.push(`broken picture: ${image.alt}`);
  const add = (box, text, owner) => {
    if (box.width < 1 || box.height < 1) return;
    texts.push({left: box.left + 1, right: box.right - 1, top: box.top + 1,
      bottom: box.bottom - 1, text, owner});
  };
  for (const text of document.querySelectorAll('svg text')) {
    const box = text.getBoundingClientRect(), words = short(text.textContent);
    if (!words || !box.width) continue;
    const frame = text.closest('svg').getBoundingClientRect();
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 2
        || box.bottom > frame.bottom + 2)
      found.push(`cut: text of a picture: ${words}`);
    const size = parseFloat(getComputedStyle(text).fontSize)
      * frame.width / text.closest('svg').viewBox.baseVal.width;
    if (size < 7) found.push(`tiny: ${size.toFixed(1)} px: ${words}`);
    add(box, words, text);
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('svg, script, style')) continue;
    if (!parent.checkVisibility()) continue;  // folded
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (!scroller(parent) && (box.right > root.clientWidth + 1 || box.left < -1))
        found.push(`cut: ${short(node.data)}`);
      add(box, short(node.data), node);
    }
  }
  texts.sort((one, other) => one.top - other.top);
  texts.forEach((one, i) => {
    for (let j = i + 1; j < texts.length && texts[j].top < one.bottom; j++) {
      const other = texts[j];
      if (other.owner !== one.owner && other.left < one.right && other.right > one.left)
        found.push(`overlap: "${one.text}" and "${other.text}"`);
    }
  });
  return found;
}
