// Checks that run inside a page.

// Visible text that stands out from its background by less than WCAG asks for (4.5, large text 3).
export function contrastComplaints() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    // painted one over the other
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) =>
      value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (
      !text ||
      !element.checkVisibility() ||
      element.closest(".unseen, .skip, script, style, noscript, option, :disabled")
    )
      continue;
    const backgrounds = ["#fff"];
    const parents = [];
    for (let at = element; at; at = at.parentElement) parents.unshift(getComputedStyle(at));
    backgrounds.push(...parents.map((style) => style.backgroundColor));
    const style = parents.at(-1);
    const [light, dark] = [
      luminance(over([...backgrounds, style.color])),
      luminance(over(backgrounds)),
    ].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < needed) found.push(`"${text.slice(0, 30)}" has ${ratio.toFixed(2)}`);
  }
  return found;
}

// Controls that a screen reader could not name.
export function namelessControls() {
  const named = (element) =>
    element.getAttribute("aria-label") ||
    document.getElementById(element.getAttribute("aria-labelledby")) ||
    [...(element.labels ?? [])].some((label) => label.textContent.trim()) ||
    element.textContent.trim();
  return [
    ...document.querySelectorAll(
      "button, a, input, select, textarea, [role=img], [role=dialog], [role=log], [role=group]",
    ),
  ]
    .filter((element) => !named(element))
    .map((element) => element.outerHTML.slice(0, 100));
}
