// The live page: asks for JSON once a second and draws it. No library, nothing from elsewhere; what
// comes from the server is only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const HISTORY_MS = 300_000;
const state = { token: sessionStorage.getItem("token"), points: [], after: null, next: null };

async function ask(path, action) {
  const headers = {};
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  const options = { headers, cache: "no-store" };
  if (action) {
    headers["Content-Type"] = "application/json";
    options.method = "POST";
    options.body = JSON.stringify(action);
  }
  const answer = await fetch(path, options);
  if (answer.status === 401 || answer.status === 429) {
    const problem = state.token ? (await answer.text()).trim() : "";
    state.token = null;
    sessionStorage.removeItem("token");
    throw { login: true, problem };
  }
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

const count = (n) => Math.round(n).toLocaleString("en");

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return `${n >= 100 || unit === 0 ? n.toFixed(0) : n.toFixed(1)} ${units[unit]}`;
}

function micros(us) {
  if (us === 0) return "–";
  if (us < 1000) return `${us.toPrecision(3)} µs`;
  return us < 1e6 ? `${(us / 1000).toPrecision(3)} ms` : `${(us / 1e6).toPrecision(3)} s`;
}

function lasting(ms) {
  if (ms === null) return "never heard";
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min` : `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// What the charts go back: five minutes, or as long as there are points.
function reach(points) {
  const s = Math.round((points.at(-1).unix_ms - points[0].unix_ms) / 1000);
  return s * 1000 >= HISTORY_MS - 1000 ? "last 5 min" : `last ${lasting(s * 1000)}`;
}

// Lines from the first point to the newest, on a scale from 0 to the highest value.
function chart(id, points, values, show) {
  const [width, height, top] = [600, 100, 14];
  const lines = values.map((value) => points.map(value));
  const most = Math.max(...lines.flat(), 0);
  const scale = most > 0 ? (height - top) / most : 0;
  const drawn = [
    svg("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: "axis" }),
    svg("line", { x1: 0, x2: width, y1: top, y2: top, class: "axis" }),
  ];
  const begin = points[0].unix_ms;
  const step = width / Math.max(points.at(-1).unix_ms - begin, 1);
  lines.forEach((line, index) => {
    const at = (value, place) => `${((points[place].unix_ms - begin) * step).toFixed(1)} ${(height - value * scale).toFixed(1)}`;
    const path = line.map((value, place) => (place ? "L" : "M") + at(value, place)).join("");
    drawn.push(svg("path", { d: path, class: index ? "two" : "one" }));
  });
  $(`${id}-most`).textContent = `${reach(points)}, up to ${show(most)}`;
  $(id).setAttribute("viewBox", `0 0 ${width} ${height}`);
  $(id).setAttribute("preserveAspectRatio", "none");
  $(id).replaceChildren(...drawn);
}

function cell(text) {
  const td = document.createElement("td");
  td.textContent = text;
  return td;
}

function row(texts) {
  const tr = document.createElement("tr");
  tr.replaceChildren(...texts.map((text) => (text instanceof Node ? text : cell(text))));
  return tr;
}

function fill(table, rows) {
  $(table).tBodies[0].replaceChildren(...rows);
}

function bars(id, counts) {
  const entries = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  if (entries.length === 0) {
    $(id).textContent = "none";
    return;
  }
  const most = entries[0][1];
  $(id).replaceChildren(...entries.map(([name, number]) => {
    const bar = document.createElement("div");
    bar.className = "bar";
    const label = document.createElement("span");
    label.textContent = name.replaceAll("_", " ");
    const progress = document.createElement("progress");
    progress.max = most;
    progress.value = number;
    const value = document.createElement("b");
    value.textContent = count(number);
    bar.replaceChildren(label, progress, value);
    return bar;
  }));
}

function draw(status) {
  const { points } = state;
  chart("chart-sessions", points, [(p) => p.sessions], count);
  chart("chart-packets", points, [(p) => p.rates.packets_in], (n) => `${count(n)}/s`);
  chart("chart-bytes", points, [(p) => p.rates.bytes_in, (p) => p.rates.bytes_out], (n) => `${bytes(n)}/s`);
  chart("chart-p99", points, [(p) => p.p99_us], micros);
  $("now-sessions").textContent = count(status.sessions);
  $("now-packets").textContent = count(status.rates.packets_in);
  $("now-in").textContent = bytes(status.rates.bytes_in);
  $("now-out").textContent = bytes(status.rates.bytes_out);
  $("now-p99").textContent = micros(status.handler.p99_us);
  bars("reasons", status.disconnects);
  bars("rejects", status.rejects);
  fill("workers", status.workers.map((w) => row([
    String(w.index), count(w.sessions), count(w.packets_per_second), count(w.packets_in),
    bytes(w.bytes_in), bytes(w.bytes_out), count(w.mailbox),
  ])));
  const { totals, queues, process } = status;
  // Other than 0 when clients speak another protocol, or a newer one.
  const unhandled = totals.unhandled ? [["unhandled packets: no handler for their id", count(totals.unhandled)]] : [];
  fill("facts", [
    ["sessions accepted, ended", `${count(totals.accepted)}, ${count(totals.ended)}`],
    ["packets, sends", `${count(totals.packets_in)}, ${count(totals.sends)}`],
    ...unhandled,
    ["waiting for peers", bytes(queues.send_bytes)],
    ["waiting for the pool, for workers", `${count(queues.pool_sessions)}, ${count(queues.mailboxes)}`],
    ["handler time, median", micros(status.handler.p50_us)],
    ["memory", bytes(process.memory_bytes)],
    ["processor, of all cores", `${process.cpu_percent.toFixed(1)} %`],
    ["log lines lost", count(totals.log_lines_lost)],
  ].map(row));
  $("summary").classList.toggle("bad", status.draining);
  $("summary").textContent = `${status.version}, ${status.engine}, up ${lasting(status.uptime_ms)}${status.draining ? ", draining" : ""}`;
}

async function act(action) {
  try {
    const outcome = await ask("/api/action", action);
    $("outcome").textContent = outcome.message;
  } catch (error) {
    $("outcome").textContent = error.problem ?? error.message;
  }
  await list();
}

async function list() {
  const sort = $("sort").value;
  const after = sort === "id" && state.after !== null ? `&after=${state.after}` : "";
  const page = await ask(`/api/sessions?limit=50&sort=${sort}${after}`);
  state.next = page.next;
  $("next").disabled = page.next === null;
  $("session-count").textContent = `(${count(page.total)})`;
  fill("sessions", page.sessions.map((s) => {
    const kick = document.createElement("button");
    kick.type = "button";
    kick.textContent = "kick";
    kick.addEventListener("click", () => act({ action: "kick", id: s.id }));
    const last = document.createElement("td");
    last.append(kick);
    return row([
      String(s.id), s.peer, count(s.packets_in), bytes(s.bytes_in), bytes(s.bytes_out),
      bytes(s.queued_bytes), lasting(s.silent_ms), last,
    ]);
  }));
}

async function turn() {
  try {
    if (state.points.length === 0) state.points = await ask("/api/history");
    const status = await ask("/api/status");
    const last = state.points.at(-1);
    if (!last || last.unix_ms < status.unix_ms) {
      state.points.push({ unix_ms: status.unix_ms, sessions: status.sessions, rates: status.rates, p99_us: status.handler.p99_us });
      state.points = state.points.filter((p) => p.unix_ms > status.unix_ms - HISTORY_MS);
    }
    $("login").hidden = true;
    $("main").hidden = false;
    draw(status);
    await list();
  } catch (error) {
    if (error.login) {
      $("login").hidden = false;
      $("main").hidden = true;
      $("login-problem").textContent = error.problem;
      $("summary").textContent = "";
      return;
    }
    $("summary").classList.add("bad");
    $("summary").textContent = `no answer: ${error.message}`;
  }
  setTimeout(turn, 1000);
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value.trim();
  sessionStorage.setItem("token", state.token);
  $("token").value = "";
  turn();
});
$("sort").addEventListener("change", () => { state.after = null; list(); });
$("first").addEventListener("click", () => { state.after = null; list(); });
$("next").addEventListener("click", () => { state.after = state.next; list(); });
turn();
