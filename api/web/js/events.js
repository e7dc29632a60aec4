// What happens on the server, as it happens: server-sent events, or asking now and then where they are not to be had.

const TYPES = [
  "registration.added",
  "registration.refreshed",
  "registration.expired",
  "registration.removed",
  "registration.failed",
  "call.started",
  "call.ringing",
  "call.answered",
  "call.held",
  "call.ended",
  "call.failed",
  "media.started",
  "media.one_way",
  "media.timeout",
  "media.quality",
  "dtmf.received",
  "security.banned",
  "security.unbanned",
  "server.started",
  "server.warning",
  "server.stopping",
];
const RETRY_MS = 5000;

/** In place of events that can't be had any more: whatever is shown may have changed. */
export const MISSED = "stream.gap";

let source = null;
let retry = 0;

/** Call `onEvent(event)` for each event and `onLive(true or false)` whenever the connection comes or goes. */
export function follow(onEvent, onLive) {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("api/events");
  source.onopen = () => onLive(true);
  source.onerror = () => {
    onLive(false);
    // A refusal ends the source for good; a lost connection it mends itself.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(() => poll(onEvent, onLive), RETRY_MS);
  };
  for (const type of [...TYPES, MISSED]) source.addEventListener(type, (message) => onEvent(JSON.parse(message.data)));
}

/** There may be too many listeners at the moment: have the section read again, then try once more. */
function poll(onEvent, onLive) {
  onEvent({ type: MISSED });
  follow(onEvent, onLive);
}
