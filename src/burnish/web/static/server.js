// What the server answers, and what it is asked to do.

const token = document.querySelector('meta[name="burnish-token"]').content;

async function answer(response) {
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { body = { error: text }; }
  if (!response.ok) throw new Error(body.error ?? body.detail ?? response.statusText);
  return body;
}

export const read = async (path) => answer(await fetch(path));

export const post = async (path, body) => answer(await fetch(path, {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Burnish-Token": token },
  body: JSON.stringify(body),
}));

// Follow a job's events; calls back with each batch. Returns a function that stops.
export function follow(job, heard) {
  const source = new EventSource(`/api/jobs/${job}/events`);
  source.onmessage = (message) => heard(JSON.parse(message.data));
  return () => source.close();
}

// Load one of the libraries that `make web` puts beside this page; resolves to false where it is missing.
const loaded = new Map();
export function library(file) {
  if (!loaded.has(file)) {
    loaded.set(file, new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = `/static/vendor/${file}`;
      script.onload = () => resolve(true);
      script.onerror = () => resolve(false);
      document.head.append(script);
    }));
  }
  return loaded.get(file);
}
