// Keeps a page current. A sweep's page listens to its event stream and lets htmx fetch the live part when something
// happened, at most once in GAP_MS; pages without a stream ask again every data-poll-ms while they are visible.
(() => {
  "use strict";
  const GAP_MS = 700, RETRY_MS = 3000, AFTER_END_MS = 15000;
  const KINDS = ["created", "state", "progress", "warning", "prepared", "cancel_asked", "retry", "reported"];
  let pending = null, last = 0;

  const refresh = () => {
    pending = null;
    last = Date.now();
    document.body.dispatchEvent(new CustomEvent("recur:changed"));
  };
  const soon = () => {
    if (pending === null) pending = setTimeout(refresh, Math.max(0, GAP_MS - (Date.now() - last)));
  };
  const say = (state) => {
    for (const mark of document.querySelectorAll("[data-live-mark]")) mark.dataset.liveMark = state;
    for (const text of document.querySelectorAll("[data-live-text]")) {
      text.textContent = { on: "live", off: "reconnecting", poll: "refreshing", end: "finished" }[state];
    }
  };

  const listen = (element) => {
    // The page shows everything up to data-after: what the stream repeats of it changes nothing.
    let seen = Number(element.dataset.after);
    let source = null, ended = false;
    const open = () => {
      source = new EventSource(element.dataset.events);
      source.onopen = () => { if (!ended) say("on"); soon(); };
      const got = (event) => {
        const number = Number(event.lastEventId);
        if (number <= seen) return;
        seen = number;
        if (ended) { ended = false; say("on"); }
        soon();
      };
      source.onmessage = got;
      for (const kind of KINDS) source.addEventListener(kind, got);
      source.addEventListener("end", () => {  // nothing more comes by itself; somebody may still retry a seed
        source.close();
        ended = true;
        say("end");
        setTimeout(open, AFTER_END_MS);
      });
      source.onerror = () => {
        say("off");
        if (source.readyState !== EventSource.CLOSED) return;
        soon();  // a key that is not accepted any more leads to the sign-in
        setTimeout(open, RETRY_MS);
      };
    };
    open();
    window.addEventListener("pagehide", () => source && source.close());
  };

  const poll = (element) => {
    say("poll");
    setInterval(() => { if (!document.hidden) refresh(); }, Number(element.dataset.pollMs));
  };

  document.addEventListener("DOMContentLoaded", () => {
    const stream = document.querySelector("[data-events]");
    if (stream) listen(stream);
    const polled = document.querySelector("[data-poll-ms]");
    if (polled) poll(polled);
    // Times are written in UTC; their title adds the reader's own.
    const local = (root) => {
      for (const time of root.querySelectorAll("time[datetime]")) {
        const at = new Date(time.dateTime);
        if (!Number.isNaN(at.getTime())) time.title = `${time.dateTime.replace("T", " ").replace("Z", " UTC")} (here ${at.toLocaleString()})`;
      }
    };
    local(document);
    document.body.addEventListener("htmx:after:swap", () => local(document));
  });
})();
