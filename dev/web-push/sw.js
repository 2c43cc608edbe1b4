// Shows the messages of channel-webpush: JSON with title, body, url and tag.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const message = read(event.data);
  event.waitUntil(
    self.registration.showNotification(message.title || "Price drop", {
      body: message.body || "",
      // A later message about the same product replaces this one, and is heard again.
      tag: message.tag || undefined,
      renotify: Boolean(message.tag),
      data: { url: webAddress(message.url) },
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { url } = event.notification.data || {};
  if (url) event.waitUntil(self.clients.openWindow(url));
});

function read(data) {
  try {
    return data.json() || {};
  } catch {
    return {};
  }
}

// Links come from product data: only web pages are opened.
function webAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
