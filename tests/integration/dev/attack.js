// What a page of an attacker tries on the server at a port, at each of its addresses; and what it
// gets: the status of an answer that it can read, "opaque" where it cannot, else how it failed.

async (port, key) => {
  const origins = [location.origin];
  for (const host of ["127.0.0.1", "localhost", "0.0.0.0"]) origins.push(`http://${host}:${port}`);
  const json = { "Content-Type": "application/json" };
  const shown = { ...json, Authorization: `Bearer ${key}` };
  const made = JSON.stringify({ scopes: ["admin"], name: "of-a-page" });
  const reads = ["/", "/healthz", "/openapi.json", "/metrics", "/v1/events", "/v1/list-api-keys"];
  const WRITE = "/v1/create-api-key";
  const found = {};

  const outcome = (what, promise) =>
    promise.then((told) => (found[what] = told), (error) => (found[what] = error.name));
  const fetched = async (url, how) => {
    const response = await fetch(url, how);
    return response.type === "opaque" ? "opaque" : `${response.status} ${await response.text()}`;
  };
  const asked = (url, method) =>
    new Promise((resolve) => {
      const request = new XMLHttpRequest();
      request.onloadend = () => resolve(request.status ? `${request.status}` : "error");
      request.open(method, url);
      request.setRequestHeader("Content-Type", "text/plain");
      request.send(method === "GET" ? null : made);
    });
  const opened = (thing) =>
    new Promise((resolve) => {
      thing.onopen = () => resolve("open");
      thing.onerror = () => resolve("error");
    });
  const loaded = (tag, url) =>
    new Promise((resolve) => {
      const element = document.createElement(tag);
      element.onload = () => resolve("load");
      element.onerror = () => resolve("error");
      element.src = url;
      document.body.append(element);
    });
  const posted = (url, enctype) =>
    new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.name = `${url} ${enctype}`;
      document.body.append(frame);
      const form = document.createElement("form");
      Object.assign(form, { method: "POST", action: url, enctype, target: frame.name });
      const field = document.createElement("input");
      Object.assign(field, { name: made.slice(0, -1) + ', "x": "', value: '"}' });
      form.append(field);
      document.body.append(form);
      frame.onload = () => resolve("load");
      form.submit();
    });

  const tried = [];
  const attempt = (what, promise) => tried.push(outcome(what, promise));
  for (const origin of origins) {
    for (const path of reads) {
      attempt(`fetch ${origin}${path}`, fetched(origin + path));
      attempt(`fetch ${origin}${path} opaque`, fetched(origin + path, { mode: "no-cors" }));
      attempt(`xhr ${origin}${path}`, asked(origin + path, "GET"));
    }
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const url = origin + WRITE;
      const body = method === "OPTIONS" ? undefined : made;
      attempt(`${method} ${url}`, fetched(url, { method, body, headers: json }));
      attempt(`${method} ${url} with a key`, fetched(url, { method, body, headers: shown }));
      attempt(`xhr ${method} ${url}`, asked(url, method));
    }
    const plain = { method: "POST", body: made, mode: "no-cors", credentials: "include" };
    attempt(`POST ${origin} opaque`, fetched(origin + WRITE, plain));
    for (const path of ["/v1/session", "/v1/agent", "/"])
      attempt(`ws ${origin}${path}`, opened(new WebSocket(origin.replace("http", "ws") + path)));
    attempt(`events ${origin}`, opened(new EventSource(origin + "/v1/events")));
    for (const tag of ["img", "script"])
      attempt(`${tag} ${origin}`, loaded(tag, origin + WRITE));
    for (const kind of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
      attempt(`form ${origin} ${kind}`, posted(origin + WRITE, kind));
    navigator.sendBeacon(origin + WRITE, made);
  }
  await Promise.all(tried);
  return found;
}
