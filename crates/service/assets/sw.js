// The service worker of the guardian's app: shows push messages as notifications, and a page of its own where the service is not
// reached. NODPAY, set by the service above this line, holds the version, the files of the offline page, and words.
//
// It keeps those files and nothing else: never an answer of the API, never a page or script that signs.

const PREFIX = "nodpay-";
const CACHE = PREFIX + NODPAY.version;
const OFFLINE = `/offline/${NODPAY.version}`;
const MAX_LISTED = 6;

// ---- versions --------------------------------------------------------------------------------------------------------------------

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));

/** All files of this version or none: one that is missing ends the installation, and the browser tries again. */
async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(NODPAY.files.map((file) => new Request(file, { cache: "reload" })));
  // No page runs on what an older version keeps.
  await skipWaiting();
}

async function activate() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await registration.navigationPreload?.enable();
  await clients.claim();
}

// ---- without a connection --------------------------------------------------------------------------------------------------------

addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  if (pathname.startsWith(`${OFFLINE}/`)) event.respondWith(kept(event.request));
  else if (mode === "navigate" && NODPAY.pages.includes(pathname)) event.respondWith(page(event));
});

async function kept(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request.url)) ?? fetch(request);
}

async function page(event) {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch {
    return kept(new Request(`${OFFLINE}/page`));
  }
}

// ---- notifications ---------------------------------------------------------------------------------------------------------------

addEventListener("push", (event) => event.waitUntil(show(read(event.data))));
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.open));
});
addEventListener("pushsubscriptionchange", (event) => event.waitUntil(subscribeAgain(event)));

/** The service's message, or nothing that could be shown. */
function read(data) {
  try {
    const note = data.json();
    return note.v === 1 ? note : {};
  } catch {
    return {};
  }
}

function show(note) {
  const lang = note.lang in NODPAY.words ? note.lang : "en";
  const t = (key, values = {}) =>
    (NODPAY.words[lang][key] ?? "").replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  const { title, body, loud } = said(note, t, lang);
  return registration.showNotification(title, {
    body,
    lang: lang === "zh" ? "zh-CN" : "en",
    // A later message about the same order takes this one's place; only some of them ring again.
    tag: note.tag ?? "nodpay",
    renotify: loud,
    silent: !loud,
    requireInteraction: note.kind === "order" || note.kind === "nod",
    timestamp: note.at ?? Date.now(),
    icon: `${OFFLINE}/img/icon-192.png`,
    badge: `${OFFLINE}/img/badge-96.png`,
    data: { open: note.open ?? "#/" },
  });
}

function said(note, t, lang) {
  const { name, shop, total } = note;
  const bought = total ? t("note.total", { total: money(total, note.digits, lang), shop }) : "";
  switch (note.kind) {
    case "order": return {
      title: name ? t("note.order-of", { name }) : t("note.order"),
      body: bought ? [bought, listed(note, t, lang)].filter(Boolean).join("\n") : t("note.order-more"),
      loud: true,
    };
    case "nod": return {
      title: name ? t("note.nod-of", { name }) : t("note.nod"),
      body: bought || t("note.nod-more"),
      loud: true,
    };
    case "outcome": return {
      title: t(`note.outcome.${note.word}`),
      body: bought ? [name, bought].filter(Boolean).join(" · ") : t("note.outcome-more"),
      loud: note.word === "failed" || note.word === "expired",
    };
    case "household": return {
      title: t(`note.household.${note.word}`),
      body: name ? t("note.household-by", { name }) : t("note.household-more"),
      loud: true,
    };
    case "pin": return { title: t(`note.pin.${note.word}`), body: name ? t("note.pin-of", { name }) : t("note.pin-more"), loud: true };
    case "test": return { title: t("note.test"), body: t("note.test-more"), loud: true };
    default: return { title: t("note.other"), body: t("note.other-more"), loud: true };
  }
}

function listed({ items = [], more = 0 }, t, lang) {
  const named = items.slice(0, MAX_LISTED).join(lang === "zh" ? "、" : ", ");
  return more ? t("note.items-more", { items: named, count: more }) : named;
}

/** For reading only: what is paid is shown, and checked, by the app. */
function money({ minor, currency }, digits, lang) {
  const format = new Intl.NumberFormat(lang === "zh" ? "zh-CN" : "en", {
    style: "currency", currency, currencyDisplay: "narrowSymbol", minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  return format.format(minor / 10 ** digits);
}

/** One tap leads to the order, in the app's window if there is one. */
async function open(place) {
  const hash = typeof place === "string" && place.startsWith("#/") ? place : "#/";
  const windows = await clients.matchAll({ type: "window", includeUncontrolled: true });
  const app = windows.find(({ url, frameType }) => frameType !== "nested" && new URL(url).pathname === "/app");
  if (!app) return clients.openWindow(`/app${hash}`);
  app.postMessage({ open: hash });
  return app.focus();
}

/** The browser has made another subscription of its own accord; the app says it again when it is opened. */
async function subscribeAgain({ oldSubscription, newSubscription }) {
  const options = oldSubscription?.options;
  const next = newSubscription ?? (options && (await registration.pushManager.subscribe(options)));
  if (!next) return;
  const { endpoint, keys } = next.toJSON();
  const language = navigator.language.startsWith("zh") ? "zh" : "en";
  await fetch("/api/guardian/push", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ endpoint, ...keys, language }),
  });
}
