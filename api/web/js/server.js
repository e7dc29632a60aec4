// What the page asks of the server. Paths are relative to where the page lies, so that it works behind a proxy as well.

/** An answer that is an error; `message` is a sentence for people. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ? `${problem.error ?? problem.title} ${problem.detail}` : problem.error ?? `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Nothing came back: the server is off, or the network between. */
export class Silence extends Error {}

export async function get(path) {
  return (await send("GET", path)).json();
}

/** A list and how many there are in all. */
export async function getPage(path) {
  const response = await send("GET", path);
  return { rows: await response.json(), total: Number(response.headers.get("X-Total-Count") ?? 0) };
}

export async function getText(path) {
  return (await send("GET", path)).text();
}

export async function post(path, body, headers = {}) {
  const response = await send("POST", path, body ?? {}, headers);
  return response.status === 204 ? null : response.json();
}

export async function remove(path) {
  const response = await send("DELETE", path);
  return response.status === 204 ? null : response.json();
}

async function send(method, path, body, headers = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, credentials: "same-origin" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Silence();
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refusal(response.status, problem);
}
