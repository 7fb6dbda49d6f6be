// Put into a report by the test: does what a reader does and says what came of it.
addEventListener("load", () => {
  const out = {}, $ = (s) => document.querySelector(s), all = (s) => Array.from(document.querySelectorAll(s));
  const fire = (e, type, more) => e.dispatchEvent(new MouseEvent(type, Object.assign({ bubbles: true, cancelable: true }, more)));
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const tip = $("#tip"), seen = () => getComputedStyle(tip).visibility === "visible";
  try {
    out.sections = all("main section").length === 9 && all("main section").every((s) => s.textContent.trim().length > 80);
    out.tip_hidden = !seen();
    const markers = all("#roofline svg g[data-op]"), last = markers[markers.length - 1], op = last.dataset.op;
    last.scrollIntoView({ block: "center", inline: "center" });
    const b = last.getBoundingClientRect(), x = b.x + b.width / 2, y = b.y + b.height / 2;
    const top = document.elementFromPoint(x, y);
    out.marker_is_on_top = !!top && !!top.closest("#roofline svg g");
    fire(last.firstElementChild, "pointerover", { clientX: x, clientY: y });
    out.tip_names_operator = seen() && tip.textContent.startsWith(op);
    const own = all("[data-op]").filter((e) => e.dataset.op === op), others = all("[data-op]").filter((e) => e.dataset.op !== op);
    out.others_light_up = own.length > 3 && own.every((e) => e.classList.contains("hot")) && !others.some((e) => e.classList.contains("hot"));
    fire(last.firstElementChild, "click");
    out.filter_dims_others = others.length > 3 && others.every((e) => e.classList.contains("off")) && !own.some((e) => e.classList.contains("off"));
    $("#roofline details").open = true;
    const rows = all("#roofline tbody tr");
    out.filter_hides_rows = rows.every((r) => (getComputedStyle(r).display === "none") === (r.dataset.op !== op));
    out.filter_is_said = $("#said").textContent.includes(op) && !$("#clear").hidden;
    press("Escape");
    out.escape_clears = all(".off").length === 0 && $("#clear").hidden;
    last.focus();
    out.focus_shows_tip = seen() && tip.textContent.startsWith(op);
    press("Enter");
    out.enter_filters = others.every((e) => e.classList.contains("off")) && last.getAttribute("aria-pressed") === "true";
    press("Enter");
    out.enter_again_clears = all(".off").length === 0;
    const chip = $("#time .chip");
    chip.click();
    out.legend_filters = all(".off").length > 0 && $("#said").textContent.includes(chip.dataset.op);
    $("#clear").click();
    out.button_clears = all(".off").length === 0;
    const search = $("#search");
    search.value = "dram.channels";
    search.dispatchEvent(new Event("input"));
    out.search_hides_rows = all("#settings tbody tr").filter((r) => !r.hidden).length === 1;
    out.no_sideways_scroll = document.documentElement.scrollWidth <= innerWidth;
  } catch (e) {
    window.faults.push(String(e));
  }
  out.faults = window.faults;
  document.body.setAttribute("data-result", JSON.stringify(out));
});
