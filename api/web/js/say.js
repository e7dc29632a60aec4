// A short message to the reader, seen and heard.

let speaker = () => {};

export function setSpeaker(speak) {
  speaker = speak;
}

export function say(text) {
  speaker(text);
}
