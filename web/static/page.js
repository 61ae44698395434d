// What every page does with scripts on; without them it all works, only less comfortably.

/** Says how long ago or from now a time is, in the words of the server. */
function relative(at, now) {
  const seconds = Math.trunc((at - now) / 1000);
  const spans = [
    ["year", 365 * 86400],
    ["month", 30 * 86400],
    ["week", 7 * 86400],
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ];
  const found = spans.find(([, span]) => Math.abs(seconds) >= span);
  if (!found) return seconds > 0 ? "in a moment" : "just now";
  const count = Math.trunc((Math.abs(seconds) + (seconds > 0 ? found[1] / 2 : 0)) / found[1]);
  const name = count === 1 ? found[0] : `${found[0]}s`;
  return seconds > 0 ? `in ${count} ${name}` : `${count} ${name} ago`;
}

function refreshTimes() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(Date.parse(time.dateTime), Date.now());
    if (time.textContent !== text) time.textContent = text;
  }
}

/** Puts a button beside each text that is there to be copied. */
function addCopyButtons(root) {
  for (const block of root.querySelectorAll("pre[data-copy]")) {
    const frame = document.createElement("div");
    frame.className = "copyable";
    block.replaceWith(frame);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet copy";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    frame.append(block, button);
    button.addEventListener("click", async () => {
      button.textContent = (await copy(block)) ? "Copied" : "Selected";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }
}

/** Copies what a block says, or selects it where the browser does not let pages copy. */
async function copy(block) {
  try {
    await navigator.clipboard.writeText(block.innerText.trim());
    return true;
  } catch {
    getSelection().selectAllChildren(block);
    return false;
  }
}

let sent = new WeakSet();

/** Sends a form once when its button is clicked twice. A button that was disabled would be left out of what is sent. */
function sendOnce(event) {
  const form = event.target;
  if (sent.has(form)) event.preventDefault();
  else sent.add(form);
  // Whoever has stopped it, or whom the server did not answer, may try again.
  setTimeout(() => sent.delete(form), 3000);
}

document.addEventListener("submit", sendOnce);
// A page that somebody has come back to is as new.
addEventListener("pageshow", () => (sent = new WeakSet()));

addCopyButtons(document);
refreshTimes();
// Another script has put something into the page.
document.addEventListener("added", (event) => {
  addCopyButtons(event.target);
  refreshTimes();
});
setInterval(refreshTimes, 20_000);
