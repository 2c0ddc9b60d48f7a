// Keeps a page of creel's up to date, and spares the way through a whole page
// load for forms. All of it works without this script, by loading pages.

const $ = (selector, within = document) => within.querySelector(selector);
const announce = (text) => { const to = $("#announcer"); to.textContent = ""; setTimeout(() => { to.textContent = text; }, 50); };

// --- Putting new HTML in the place of old, so that focus, open details and what
// is being typed stay.

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE && (node.id || node.dataset.key)) || "";
const typing = (form) => form.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.localName === "form" && typing(from)) return;
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(name === "open" && from.localName === "details")) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  morphChildren(from, to);
}

function morphChildren(from, to) {
  const keyed = new Map([...from.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = from.firstChild;
  for (const want of [...to.childNodes]) {
    const have = keyed.get(keyOf(want));
    if (have && have.nodeName === want.nodeName) {
      if (have === at) at = at.nextSibling; else from.insertBefore(have, at);
      morph(have, want);
    } else if (at && at.nodeName === want.nodeName && !keyOf(at) && !keyOf(want)) {
      const next = at.nextSibling;
      morph(at, want);
      at = next;
    } else {
      from.insertBefore(want, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function put(region, html) {
  const into = $(`[data-region="${region}"]`);
  if (!into) return;
  const parsed = document.createElement("template");
  parsed.innerHTML = html;
  morphChildren(into, parsed.content);
}

// --- The stream.

let stream = null, again = 0;

function showStreaming(state) {
  const at = $("#streaming");
  if (!at) return;
  at.hidden = !document.body.dataset.stream;
  at.classList.toggle("on", state === "on");
  at.textContent = state === "on" ? "Live" : state === "wait" ? "Connecting …" : "Not live";
}

function open() {
  close();
  const address = document.body.dataset.stream;
  if (!address) return showStreaming("off");
  showStreaming("wait");
  stream = new EventSource(address);
  stream.addEventListener("open", () => showStreaming("on"));
  stream.addEventListener("patch", (e) => {
    const { regions = {}, title, announce: text } = JSON.parse(e.data);
    for (const [region, html] of Object.entries(regions)) put(region, html);
    if (title) document.title = title;
    if (text) announce(text);
  });
  stream.addEventListener("log", (e) => { const { lines, reset } = JSON.parse(e.data); log.take(lines, reset); });
  stream.addEventListener("over", () => { close(); location.reload(); });
  stream.addEventListener("error", () => {
    showStreaming("wait");
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    close();
    again = setTimeout(async () => {
      try {
        const answer = await fetch(location.href, { cache: "no-store" });
        if (answer.redirected || answer.status === 401 || answer.status === 403) return location.reload();
      } catch { /* creel is away: the next try tells */ }
      open();
    }, 2000);
  });
}

function close() {
  clearTimeout(again);
  stream?.close();
  stream = null;
}

// A page that nobody sees needs no stream; browsers allow few at once.
document.addEventListener("visibilitychange", () => { if (document.hidden) { close(); } else { open(); } });
addEventListener("pagehide", close);
addEventListener("pageshow", (e) => { if (e.persisted) open(); });

// --- Forms and questions.

function show(html, address) {
  const page = new DOMParser().parseFromString(html, "text/html");
  if (!$("#main", page) || !$("#streaming", page)) return location.assign(address);
  const url = new URL(address);
  url.searchParams.delete("flash");
  if (url.href !== location.href) history.pushState(null, "", url);
  at = withoutPart();
  document.title = page.title;
  document.body.dataset.stream = page.body.dataset.stream ?? "";
  morphChildren($(".menu ul"), $(".menu ul", page));
  put("pill", $('[data-region="pill"]', page).innerHTML);
  const main = $("#main");
  document.activeElement?.blur();
  main.replaceChildren(...$("#main", page).childNodes);
  ready();
  const flash = $(".flash");
  if (flash) { flash.focus(); flash.scrollIntoView({ block: "nearest" }); } else { main.focus(); }
}

// complain says why nothing was done, where messages are.
function complain(text) {
  $(".flash")?.remove();
  const flash = document.createElement("div"), line = document.createElement("p");
  flash.className = "flash bad";
  flash.setAttribute("role", "alert");
  flash.tabIndex = -1;
  line.textContent = text;
  flash.append(line);
  $("#main").prepend(flash);
  flash.focus();
}

document.addEventListener("submit", async (e) => {
  const form = e.target;
  if (form.method !== "post" || form.hasAttribute("data-plain")) return;
  e.preventDefault();
  const buttons = form.querySelectorAll("button");
  for (const b of buttons) b.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "text/html" } });
    $("dialog[open]")?.close();
    if (answer.headers.get("Content-Type")?.startsWith("text/html")) return show(await answer.text(), answer.url);
    const problem = await answer.json();
    complain(`${problem.title}: ${problem.detail}`);
  } catch {
    complain("creel does not answer.");
  } finally {
    for (const b of buttons) b.disabled = false;
  }
});

document.addEventListener("click", async (e) => {
  const link = e.target.closest("a[data-ask]");
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
  e.preventDefault();
  try {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
    const asked = $(".confirm", new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (!answer.ok || !asked) return location.assign(link.href);
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "question");
    dialog.append(asked);
    document.body.append(dialog);
    dialog.addEventListener("close", () => { dialog.remove(); if (link.isConnected) link.focus(); });
    $("a.cancel", dialog)?.addEventListener("click", (e) => { e.preventDefault(); dialog.close(); });
    dialog.showModal();
  } catch {
    location.assign(link.href);
  }
});

// A step to a part of the same page, such as "Skip to the content", is one of these
// too (HTML Living Standard §7.4.6.2), and needs nothing loaded.
const withoutPart = () => location.href.split("#")[0];
let at = withoutPart();
addEventListener("popstate", () => { if (withoutPart() !== at) location.reload(); });

// --- Logs.

const ranks = { error: 0, warn: 1, "": 2, info: 2, debug: 3 };
const mostLines = 2000;

const log = {
  paused: false,
  held: [],
  passes(line) {
    const query = $("#q")?.value.toLowerCase() ?? "", level = $("#level")?.value ?? "";
    if (query && !`${line.at ?? ""} ${line.text}`.toLowerCase().includes(query)) return false;
    return level === "" || ranks[line.level ?? ""] <= ranks[level];
  },
  take(lines, reset) {
    const list = $("#log");
    if (!list) return;
    if (reset && this.paused) { this.held = []; }
    if (this.paused) {
      this.held = this.held.concat(lines).slice(-mostLines);
      $("#pause").textContent = `Go on (${this.held.length} new)`;
      return;
    }
    const below = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const made = lines.map((line) => {
      const item = document.createElement("li");
      if (line.at) {
        const time = document.createElement("time");
        time.dateTime = time.title = line.time;
        time.textContent = line.at;
        item.append(time, " ");
      }
      item.append(line.text);
      if (line.level) item.dataset.level = line.level;
      item.hidden = !this.passes(line);
      return item;
    });
    if (reset) list.replaceChildren(...made); else list.append(...made);
    while (list.childElementCount > mostLines) list.firstChild.remove();
    if (below || reset) list.scrollTop = list.scrollHeight;
    this.count();
  },
  filter() {
    for (const item of $("#log").children) item.hidden = !this.passes({ text: item.textContent, level: item.dataset.level });
    this.count();
  },
  count() {
    const items = [...$("#log").children], shown = items.filter((item) => !item.hidden).length;
    $("#lines").textContent = shown === items.length ? `${shown} lines` : `${shown} of ${items.length} lines`;
  },
  ready() {
    const list = $("#log"), pause = $("#pause");
    if (!list) return;
    list.scrollTop = list.scrollHeight;
    pause.hidden = false;
    pause.addEventListener("click", () => {
      this.paused = !this.paused;
      pause.setAttribute("aria-pressed", this.paused);
      pause.textContent = this.paused ? "Go on" : "Pause";
      if (!this.paused) this.take(this.held.splice(0), false);
    });
    $("#q").addEventListener("input", () => this.filter());
    $("#level").addEventListener("change", () => this.filter());
    $("#search").addEventListener("submit", (e) => { e.preventDefault(); this.filter(); });
    $("#search button").hidden = true;
  },
};

function ready() {
  log.ready();
  const path = $("#link[data-path]");
  if (path) path.textContent = location.origin + path.dataset.path;
  open();
}

if (new URL(location.href).searchParams.has("flash")) {
  const url = new URL(location.href);
  url.searchParams.delete("flash");
  history.replaceState(null, "", url);
  at = withoutPart();
  $(".flash")?.focus();
}
ready();
