// Elements from data. Text only ever becomes a text node, so nothing that was said can be markup.
"use strict";

// h("a", {href: "#x", class: "y"}, "text", element, null): a child that is null or "" is left out.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

// The numbers as the rest of the page writes them (_numbers.py).
function figure(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  let text;
  if (size >= 1e7 || (size > 0 && size < 1e-4)) text = value.toPrecision(3);
  else if (size >= 100 || Number.isInteger(value)) text = whole(value);
  else if (size >= 1) text = value.toFixed(size < 10 ? 2 : 1);
  else text = value.toFixed(size >= 0.1 ? 3 : 4);
  return text.replace("-", "−");
}

function signed(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const digits = Number(value.toFixed(2)) === Number(value.toFixed(3)) ? 2 : 3;
  const text = Math.abs(value) < 1e6 ? value.toFixed(digits) : value.toPrecision(3);
  return (value > 0 ? `+${text}` : text).replace("-", "−");
}

function whole(value) {
  return Math.round(value).toLocaleString("en-US").replace("-", "−");
}

function plural(count, noun) {
  return `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// Two ends of a range, or the one value that both are.
function between(low, high, write = String) {
  if (low === null || low === undefined) return "–";
  return low === high ? write(low) : `${write(low)} to ${write(high)}`;
}

function tone(reward) {
  return reward > 0 ? "gain" : reward < 0 ? "loss" : "even";
}
