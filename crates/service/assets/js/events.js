// The service's event stream, kept open: EventSource resumes by Last-Event-ID itself; this starts it anew when the browser
// has given up or was asleep, and tells whether it is live. After every (re)start `onOpen` reloads what the page shows, so
// nothing depends on having seen each event.

const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000];
const ASLEEP_MS = 30_000;

/**
 * Follows `url`. `onEvent(kind, data)`, `onOpen()`, `onState("live" | "connecting" | "offline")`; `onOpen` may throw nothing.
 * Gives a function that stops it.
 */
export function follow(url, kinds, { onEvent, onOpen, onState }) {
  let source = null;
  let tries = 0;
  let timer = 0;
  let hiddenSince = 0;
  let stopped = false;

  const start = () => {
    clearTimeout(timer);
    source?.close();
    if (stopped) return;
    source = new EventSource(url);
    source.onopen = () => {
      tries = 0;
      onState("live");
      onOpen();
    };
    source.onerror = () => {
      onState(navigator.onLine === false ? "offline" : "connecting");
      if (source.readyState === EventSource.CLOSED) {
        timer = setTimeout(start, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
        tries += 1;
        if (tries > 1) onOpen(); // an ended session shows itself by the reload
      }
    };
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        try {
          onEvent(kind, JSON.parse(event.data));
        } catch {
          onEvent(kind, {});
        }
      });
    }
  };
  const onVisible = () => {
    if (document.visibilityState === "hidden") hiddenSince = Date.now();
    else if (hiddenSince && Date.now() - hiddenSince > ASLEEP_MS) start();
  };
  const onOffline = () => onState("offline");

  document.addEventListener("visibilitychange", onVisible);
  addEventListener("online", start);
  addEventListener("offline", onOffline);
  start();
  return () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
    document.removeEventListener("visibilitychange", onVisible);
    removeEventListener("online", start);
    removeEventListener("offline", onOffline);
  };
}
