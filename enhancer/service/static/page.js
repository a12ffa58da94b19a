"use strict";

const $ = (id) => document.getElementById(id);
const WORDS = {
  pending: "waiting", running: "being worked on", enhanced: "enhanced, being checked", scored: "checked",
  committing: "being stored", published: "done", reused: "done", skipped: "unchanged", rejected: "refused by the gate",
  failed: "failed", quarantined: "cannot be enhanced", not_attempted: "not begun", held: "held for a person",
};
const MOST_ITEMS = 1000;
let chosen = [];
let job = null;
let shown = null;
let urls = [];

function headers(more = {}) {
  const token = $("token").value.trim();
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function call(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers) });
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try { detail = (await answer.json()).detail; } catch { /* no problem document */ }
  if (answer.status === 401) { $("access").hidden = false; $("token").focus(); }
  throw new Error(detail);
}

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

function choose(files, dropped) {
  chosen = [...files];
  // Of chosen files the browser's own control says how many there are.
  const count = chosen.length === 1 ? chosen[0].name : `${chosen.length} pictures`;
  $("chosen").textContent = dropped && chosen.length > 0 ? `Dropped: ${count}` : "";
}

async function loadRecipes() {
  try {
    const recipes = await (await call("/v1/recipes")).json();
    $("recipe").replaceChildren(...recipes.map((one) => new Option(`${one.name}: ${one.description}`, one.name)));
    $("access").hidden = !$("token").value;
    say("");
    return true;
  } catch (error) {
    say(error.message);
    return false;
  }
}

async function submit(event) {
  event.preventDefault();
  say("");
  if ($("recipe").options.length === 0 && !(await loadRecipes())) return;
  if (chosen.length === 0) { say("Choose at least one picture first."); $("files").focus(); return; }
  const form = new FormData();
  for (const file of chosen) form.append("file", file);
  form.append("recipe", $("recipe").value);
  if ($("scale").value) form.append("scale", $("scale").value);
  $("start").disabled = true;
  $("compare").hidden = true;
  for (const url of urls.splice(0)) URL.revokeObjectURL(url);
  try {
    job = await (await call("/v1/jobs", { method: "POST", body: form })).json();
    $("progress").hidden = false;
    $("cancel").hidden = false;
    await follow();
  } catch (error) {
    say(error.message);
  } finally {
    $("start").disabled = false;
    $("cancel").hidden = true;
  }
}

async function follow() {
  const files = chosen;
  for (;;) {
    job = await (await call(job.links.self)).json();
    const page = await (await call(`${job.links.items}?limit=${MOST_ITEMS}`)).json();
    show(page, files);
    if (job.state !== "queued" && job.state !== "running") return;
    await new Promise((done) => setTimeout(done, 700));
  }
}

function show(page, files) {
  const ended = ["published", "reused", "skipped", "rejected", "failed", "quarantined", "not_attempted", "held"];
  const over = ended.reduce((sum, state) => sum + (job.counts[state] || 0), 0);
  $("bar").max = Math.max(1, job.pictures);
  $("bar").value = over;
  const words = { queued: "Waiting for its turn", running: "Working", finished: "Finished", failed: "Failed", cancelled: "Cancelled" };
  $("status").textContent = `${words[job.state]}: ${over} of ${job.pictures}` + (job.error ? `. ${job.error.message}` : "");
  $("items").replaceChildren(...page.items.map((item) => row(item, page.summary.results[item.input], files)));
}

function row(item, address, files) {
  const line = document.createElement("li");
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = item.input;
  const state = document.createElement("span");
  state.textContent = WORDS[item.state] || item.state;
  line.append(name, state);
  if (address) {
    const look = document.createElement("button");
    look.type = "button";
    look.textContent = `Compare ${item.input}`;
    look.addEventListener("click", () => compare(item, address, files).catch((error) => say(error.message)));
    line.append(look);
  }
  if (item.error) {
    const why = document.createElement("span");
    why.className = "why";
    why.textContent = item.error.message;
    line.append(why);
  }
  return line;
}

function picture(blob) {
  return new Promise((done, failed) => {
    const url = URL.createObjectURL(blob);
    urls.push(url);
    const image = new Image();
    image.addEventListener("load", () => done([image, url]));
    image.addEventListener("error", () => failed(new Error("This browser cannot show the format; download it instead.")));
    image.src = url;
  });
}

async function compare(item, address, files) {
  say("");
  const blob = await (await call(address)).blob();
  const link = $("download");
  link.href = URL.createObjectURL(blob);
  urls.push(link.href);
  link.download = item.output || item.input;
  link.textContent = `Download ${link.download}`;
  $("compare").hidden = false;
  const source = files.find((file) => file.name === item.input) || files[0];
  const [[before], [after]] = await Promise.all([picture(source), picture(blob)]);
  shown = { before, after };
  draw();
  $("slider").focus();
}

function draw() {
  if (!shown) return;
  const { before, after } = shown;
  const canvas = $("canvas");
  // 100 %: one pixel of the result is one pixel of the screen.
  const ratio = window.devicePixelRatio || 1;
  canvas.width = after.naturalWidth;
  canvas.height = after.naturalHeight;
  canvas.style.width = `${canvas.width / ratio}px`;
  canvas.style.height = `${canvas.height / ratio}px`;
  const at = Math.round((canvas.width * $("slider").value) / 100);
  const pen = canvas.getContext("2d");
  pen.drawImage(after, 0, 0);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, at, canvas.height);
  pen.clip();
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(before, 0, 0, canvas.width, canvas.height);
  pen.restore();
  pen.fillStyle = "#fff";
  pen.fillRect(at - 1, 0, 2, canvas.height);
}

function point(event) {
  if (event.buttons !== 1 && event.type !== "click") return;
  const box = $("canvas").getBoundingClientRect();
  $("slider").value = (100 * (event.clientX - box.left)) / box.width;
  draw();
}

$("token").value = sessionStorage.getItem("token") || "";
$("token").addEventListener("change", () => { sessionStorage.setItem("token", $("token").value.trim()); loadRecipes(); });
$("files").addEventListener("change", () => choose($("files").files, false));
$("form").addEventListener("submit", submit);
$("cancel").addEventListener("click", () => call(job.links.self, { method: "DELETE" }).catch((error) => say(error.message)));
$("slider").addEventListener("input", draw);
$("canvas").addEventListener("pointermove", point);
$("canvas").addEventListener("click", point);
for (const name of ["dragover", "dragenter"]) {
  $("drop").addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) $("drop").addEventListener(name, () => $("drop").classList.remove("over"));
$("drop").addEventListener("drop", (event) => { event.preventDefault(); $("files").value = ""; choose(event.dataTransfer.files, true); });
loadRecipes();
