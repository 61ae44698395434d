// Keeps the page of a mesh up to date while it is open. Without it one reloads the page.
// The fragments are HTML that the templates of the page have made: what people wrote is escaped in them.

const list = document.querySelector("[data-live]");
const state = document.getElementById("live");
const news = document.getElementById("news");
const older = document.getElementById("older");

/** Most messages that stay on the page. */
const MOST = 100;
/** How long a page that nobody sees stays connected: a browser has few connections to a server. */
const UNSEEN = 3_000;

let source;
let last = list?.dataset.after;
let again;
let unseen;
let isOver = false;

function say(text, isTrouble = false) {
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle("trouble", isTrouble);
}

function connect() {
  clearTimeout(again);
  if (isOver || source) return;
  source = new EventSource(`${list.dataset.live}&after=${last}`);
  source.addEventListener("open", () => say("Live: new messages appear by themselves."));
  source.addEventListener("error", () => {
    say("The connection is lost; trying again.", true);
    if (source?.readyState !== EventSource.CLOSED) return;
    // Refused: the browser does not try again by itself.
    disconnect();
    again = setTimeout(connect, 10_000);
  });
  source.addEventListener("message", (event) => add(event.data, event.lastEventId));
  source.addEventListener("delivery", (event) => renew(event.data));
  source.addEventListener("agents", (event) => renewAgents(event.data));
  source.addEventListener("notice", (event) => say(event.data, true));
  source.addEventListener("missed", () =>
    say("Many messages have come meanwhile: reload the page to see them all.", true),
  );
  source.addEventListener("ended", (event) => {
    isOver = true;
    disconnect();
    say(`${event.data} Nothing new appears here.`, true);
  });
}

function disconnect() {
  source?.close();
  source = undefined;
}

function element(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  return box.content.firstElementChild;
}

/** Tells the other scripts of a new piece of the page. */
function added(piece) {
  piece.dispatchEvent(new Event("added", { bubbles: true }));
}

function add(html, id) {
  last = id;
  const message = element(html);
  if (document.getElementById(message.id)) return;
  document.getElementById("empty")?.remove();
  const height = document.documentElement.scrollHeight;
  const isAbove = list.getBoundingClientRect().top < 0;
  message.classList.add("new");
  list.prepend(message);
  // Who reads further down stays there. Most browsers see to that themselves.
  if (isAbove && !CSS.supports("overflow-anchor", "auto")) {
    scrollBy(0, document.documentElement.scrollHeight - height);
  }
  while (list.children.length > MOST) {
    list.lastElementChild.remove();
    older.hidden = false;
    older.firstElementChild.search = `?before=${list.lastElementChild.id.slice(1)}`;
  }
  added(message);
  announce(message.querySelector("strong").textContent);
}

let unsaid = 0;
let saying;

/** Says to a screen reader that there is something new, once for all that come together. */
function announce(sender) {
  unsaid += 1;
  news.textContent = "";
  clearTimeout(saying);
  saying = setTimeout(() => {
    news.textContent = unsaid === 1 ? `New message from ${sender}` : `${unsaid} new messages`;
    unsaid = 0;
  }, 700);
}

/** Replaces a piece of the page by a newer one with the same id. */
function renew(html) {
  const fresh = element(html);
  const old = document.getElementById(fresh.id);
  if (!old || old.outerHTML === fresh.outerHTML) return;
  const isOpen = old.querySelector("details")?.open;
  const hasFocus = old.contains(document.activeElement);
  old.replaceWith(fresh);
  if (isOpen) fresh.querySelector("details")?.setAttribute("open", "");
  if (hasFocus) fresh.querySelector("summary")?.focus();
  added(fresh);
}

let waiting;

/** The same for the agents, unless somebody is about to do something there. */
function renewAgents(html) {
  waiting = html;
  const agents = document.getElementById("agents");
  const isInUse = agents.contains(document.activeElement) || agents.querySelector("details[open]");
  offer(element(html));
  if (isInUse) return;
  renew(waiting);
  waiting = undefined;
}

/** Lets the form write to agents that have come in. */
function offer(agents) {
  const to = document.getElementById("to");
  const known = new Set([...to.options].map((choice) => choice.value));
  for (const { dataset } of agents.querySelectorAll("[data-agent]")) {
    if (known.has(dataset.agent)) continue;
    to.querySelector("optgroup").append(new Option(dataset.name, dataset.agent));
  }
}

if (list) {
  connect();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(disconnect, UNSEEN);
    else connect();
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
  document.addEventListener("focusout", () => setTimeout(() => waiting && renewAgents(waiting)));
  document.getElementById("content").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
  });
}
