"use strict";
(function () {
  const all = (s) => Array.from(document.querySelectorAll(s));
  const tip = document.getElementById("tip"), said = document.getElementById("said"), clear = document.getElementById("clear");
  let chosen = null;
  const ofOp = (op) => all("[data-op]").filter((e) => e.dataset.op === op);
  function show(e, x, y) {
    if (e.dataset.tip) {
      tip.textContent = e.dataset.tip;
      tip.style.visibility = "visible";
      const w = tip.offsetWidth, h = tip.offsetHeight;
      tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 4)) + "px";
      tip.style.top = (y + 18 + h > innerHeight ? Math.max(4, y - h - 10) : y + 18) + "px";
    }
    if (e.dataset.op) ofOp(e.dataset.op).forEach((o) => o.classList.add("hot"));
  }
  function hide() {
    tip.style.visibility = "hidden";
    all(".hot").forEach((e) => e.classList.remove("hot"));
  }
  function filter(op) {
    chosen = op === chosen ? null : op;
    all("[data-op]").forEach((e) => e.classList.toggle("off", chosen !== null && e.dataset.op !== chosen));
    all("[aria-pressed]").forEach((e) => e.setAttribute("aria-pressed", String(chosen !== null && e.dataset.op === chosen)));
    said.textContent = chosen === null ? "All operators. Point at one to see its numbers, choose one to see it alone." : "Only " + chosen + ". ";
    clear.hidden = chosen === null;
  }
  const target = (ev) => (ev.target.closest ? ev.target.closest("[data-tip],[data-op]") : null);
  document.addEventListener("pointerover", (ev) => { hide(); const e = target(ev); if (e) show(e, ev.clientX, ev.clientY); });
  document.addEventListener("pointermove", (ev) => { const e = target(ev); if (e && e.dataset.tip) show(e, ev.clientX, ev.clientY); });
  document.addEventListener("pointerleave", hide);
  document.addEventListener("focusin", (ev) => { hide(); const e = target(ev); if (e) { const b = e.getBoundingClientRect(); show(e, b.right, b.bottom); } });
  document.addEventListener("focusout", hide);
  document.addEventListener("click", (ev) => { const e = target(ev); if (e && e.dataset.op) filter(e.dataset.op); });
  document.addEventListener("keydown", (ev) => {
    if (ev.key === "Escape") { hide(); if (chosen !== null) filter(chosen); return; }
    const e = document.activeElement;
    if ((ev.key === "Enter" || ev.key === " ") && e && e.dataset && e.dataset.op && e.tagName !== "BUTTON") { ev.preventDefault(); filter(e.dataset.op); }
  });
  clear.addEventListener("click", () => filter(chosen));
  const search = document.getElementById("search");
  if (search) search.addEventListener("input", () => {
    const words = search.value.toLowerCase();
    all("#settings tbody tr").forEach((r) => { r.hidden = !r.textContent.toLowerCase().includes(words); });
  });
})();
