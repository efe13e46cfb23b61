"use strict";
// What one sees and presses. The downloads happen here, the arithmetic in worker.js.

const WORKING_SIZES = [128, 256, 384, 512, 768, 1024];
const MOST_BYTES = 64e6; // of a picture file
const MOST_PIXELS = 16e6; // the largest canvas that every phone can draw

const ui = Object.fromEntries(
  Array.from(document.querySelectorAll("[id]"), (element) => [element.id, element]),
);

let config; // models.json
let runtime; // {script, wasm}: an address and bytes, once loaded
const models = new Map(); // file name -> bytes
let worker = null; // holds the generator `workerFile`
let workerFile = null;
let picture = null; // {name, width, height, rgba (over white), alpha}
let job = 0; // counts up at every start and stop, so that what is out of date is not shown
let secondsPerPixel = 0; // of the last translation, for the progress bar
let ticking = 0;

class Trouble extends Error {} // a sentence for the reader

// --- start --------------------------------------------------------------------------------------

start().catch(show);

async function start() {
  if (location.protocol === "file:")
    throw new Trouble(
      "A browser does not let a page that was opened as a file load its generator: in this " +
        "folder run  python -m http.server  and open http://localhost:8000",
    );
  if (typeof WebAssembly !== "object" || !window.createImageBitmap || !window.Worker)
    throw new Trouble("This browser is too old (it has no WebAssembly): try a newer one.");
  const text = new TextDecoder().decode(await load({ url: "models.json" }));
  try {
    config = JSON.parse(text);
  } catch {
    throw new Trouble("The file models.json on the server is damaged: upload it again, then reload.");
  }
  ui.version.textContent = config.runtime.version;
  config.generators.forEach(({ from, to }, index) =>
    ui.generator.add(new Option(`${from} → ${to}`, index)),
  );
  takeWorkingSize();
  for (const control of [ui.generator, ui["working-size"], ui.sources]) control.disabled = false;
  say("Choose a picture.");
}

const generator = () => config.generators[Number(ui.generator.value)];

function takeWorkingSize() {
  secondsPerPixel = 0;
  const own = generator().workingSize;
  const sizes = [...new Set([...WORKING_SIZES, own])].sort((a, b) => a - b);
  ui["working-size"].replaceChildren(
    ...sizes.map((size) => {
      const text = size === own ? `${size} pixels (as trained)` : `${size} pixels`;
      return new Option(text, size, size === own, size === own);
    }),
  );
}

// --- downloads ----------------------------------------------------------------------------------

// The bytes of a file; `progress` hears how many have come.
async function load({ url, integrity, bytes }, progress) {
  let response;
  try {
    response = await fetch(url, integrity ? { integrity } : {});
  } catch {
    const place = new URL(url, location.href).host;
    throw new Trouble(
      integrity
        ? `The runtime could not be loaded from ${place} (no connection, or another file there): ` +
            "check the network, or export the page with --runtime."
        : `${url} could not be loaded from ${place}: check the network and reload.`,
    );
  }
  if (!response.ok)
    throw new Trouble(
      `The file ${url} is missing on the server (${response.status}): upload the whole folder.`,
    );
  const parts = [];
  let loaded = 0;
  try {
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      loaded += value.length;
      progress?.(loaded);
    }
  } catch {
    throw new Trouble(`The connection broke while ${url} was loading: try again.`);
  }
  if (bytes && loaded !== bytes)
    throw new Trouble(
      `The file ${url} has ${loaded} bytes instead of ${bytes}: upload it again, then reload.`,
    );
  return new Blob(parts).arrayBuffer();
}

async function loadRuntime() {
  if (runtime) return;
  const { script, wasm } = config.runtime;
  busy(`Loading the runtime (${megabytes(script.bytes + wasm.bytes)})`);
  const [code, binary] = await Promise.all([load(script), load(wasm)]);
  runtime = { script: scriptAddress(code), wasm: binary };
}

async function loadModel({ file, bytes }) {
  if (!models.has(file)) {
    const text = `Loading the generator (${megabytes(bytes)})`;
    busy(text, 0);
    models.set(file, await load({ url: file, bytes }, (n) => busy(text, n / bytes)));
  }
  return models.get(file);
}

// Some servers call a script plain text, which a worker refuses. An address of our own is a script
// everywhere, and what runs there may talk only to where this page may.
function scriptAddress(code) {
  return URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}

async function startWorker(chosen) {
  if (worker && workerFile === chosen.file) return;
  dropWorker();
  const mine = job;
  await loadRuntime();
  const model = await loadModel(chosen);
  const code = scriptAddress(await load({ url: "worker.js" }));
  if (mine !== job) return;
  busy("Starting the generator");
  worker = new Worker(code, { type: "module" });
  workerFile = chosen.file;
  try {
    await ask({ runtime: runtime.script, wasm: runtime.wasm, model });
  } catch (error) {
    dropWorker();
    models.delete(chosen.file); // the next try fetches it again
    throw new Trouble(
      `${chosen.file} could not be started (${error.message}): it is damaged, so upload it again, ` +
        "or this browser is too old.",
    );
  }
}

function dropWorker() {
  worker?.terminate();
  worker = workerFile = null;
}

// One question to the worker, one answer; `onStep` hears what comes before it.
function ask(message, onStep) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.step) onStep?.(data.step);
      else if (data.error) reject(new Error(data.error));
      else resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message || "the worker did not start"));
    worker.postMessage(message);
  });
}

// --- the picture --------------------------------------------------------------------------------

// Until the file has been read, the picture before it and its result stay.
async function takePicture(file, name, stale) {
  if (file.size > MOST_BYTES)
    throw new Trouble(
      `${name} has ${megabytes(file.size)}: make it smaller first, up to ${megabytes(MOST_BYTES)}.`,
    );
  let bitmap;
  try {
    // upright by the EXIF orientation, in sRGB by the colour profile
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Trouble(
      `${name} is not a picture that this browser can read: save it as JPEG or PNG ` +
        "(HEIC photos of a phone need this too).",
    );
  }
  if (stale()) return;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * scale));
  const height = Math.max(1, Math.floor(bitmap.height * scale));
  const pen = canvasPen(ui.before, width, height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const shown = pen.getImageData(0, 0, width, height);
  const alpha = new Uint8Array(width * height);
  for (let i = 0; i < alpha.length; i++) alpha[i] = shown.data[4 * i + 3];
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  const rgba = pen.getImageData(0, 0, width, height).data;
  pen.putImageData(shown, 0, 0);
  canvasPen(ui.after, width, height); // empty
  ui.result.hidden = false;
  slide(100);
  picture = { name, width, height, rgba, alpha, reduced: scale < 1 };
}

function canvasPen(canvas, width, height) {
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}

// --- translating --------------------------------------------------------------------------------

async function translate(getFile) {
  const mine = ++job;
  const stale = () => mine !== job;
  ui.error.hidden = true;
  working(true);
  try {
    if (getFile) {
      busy("Reading the picture");
      const { file, name } = await getFile();
      await takePicture(file, name, stale);
      if (stale()) return;
    }
    const chosen = generator();
    await startWorker(chosen);
    if (stale()) return;
    const { rgba, alpha, width, height } = picture;
    const question = { rgba, alpha, width, height, workingSize: Number(ui["working-size"].value) };
    const answer = await ask(question, tick);
    if (stale()) return;
    secondsPerPixel = answer.seconds / (answer.width * answer.height);
    const pen = canvasPen(ui.after, width, height);
    pen.putImageData(new ImageData(answer.rgba, width, height), 0, 0);
    picture.result = `${picture.name.replace(/\.[^.]*$/, "")}_${chosen.label}.png`;
    slide(50);
    say(
      `Translated at ${answer.width} × ${answer.height} pixels in ${answer.seconds.toFixed(1)} s.` +
        (picture.reduced ? ` The picture was too large and is now ${width} × ${height}.` : ""),
    );
  } catch (error) {
    if (stale()) return;
    if (!(error instanceof Trouble)) dropWorker(); // it may be half dead
    show(error);
  } finally {
    if (!stale()) working(false);
  }
}

// Nobody knows how far the network is, only how long the last picture took.
function tick([width, height]) {
  const started = performance.now();
  const expected = secondsPerPixel * width * height;
  const text = `Translating at ${width} × ${height} pixels`;
  const update = () => {
    const seconds = (performance.now() - started) / 1000;
    busy(`${text}: ${Math.floor(seconds)} s`, expected ? Math.min(0.99, seconds / expected) : null);
  };
  update();
  clearInterval(ticking);
  ticking = setInterval(update, 250);
}

function stop() {
  job++;
  dropWorker();
  working(false);
  say("Stopped.");
}

// --- what the reader sees -----------------------------------------------------------------------

function working(on) {
  clearInterval(ticking);
  ui.stop.hidden = !on;
  ui.progress.hidden = !on;
  ui.sources.disabled = on;
  ui.translate.disabled = on || !picture;
  ui.save.disabled = on || !picture?.result;
  ui.slider.disabled = !picture?.result;
}

function say(text) {
  ui.status.textContent = text;
}

function busy(text, part = null) {
  say(text);
  ui.progress.hidden = false;
  if (part === null) ui.progress.removeAttribute("value");
  else ui.progress.value = part;
}

function show(error) {
  let text = error.message;
  if (!(error instanceof Trouble))
    // a bare number is what a failed allocation in the runtime throws
    text = /alloc|memory|OOM|array length|^\d+$/i.test(text)
      ? "There is not enough memory for this working size: choose a smaller one."
      : `The translation failed (${text}): reload the page, or try another browser.`;
  ui.error.textContent = text;
  ui.error.hidden = false;
  say("");
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function slide(percent) {
  ui.slider.value = percent;
  ui.stage.style.setProperty("--shown", `${percent}%`);
}

// --- events -------------------------------------------------------------------------------------

const fileOf = (file) => translate(async () => ({ file, name: file.name }));

for (const input of [ui.file, ui.camera])
  input.addEventListener("change", () => {
    if (input.files.length) fileOf(input.files[0]);
    input.value = ""; // the same file can be chosen again
  });

ui.sample.addEventListener("click", () =>
  translate(async () => {
    const url = generator().sample;
    return { file: new Blob([await load({ url })]), name: url };
  }),
);

ui.translate.addEventListener("click", () => translate());
ui.stop.addEventListener("click", stop);
ui.generator.addEventListener("change", takeWorkingSize);

ui.save.addEventListener("click", () =>
  ui.after.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = picture.result;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png"),
);

ui.slider.addEventListener("input", () => slide(ui.slider.value));
for (const event of ["pointerdown", "pointermove"])
  ui.stage.addEventListener(event, (e) => {
    if (!e.buttons || ui.slider.disabled) return;
    const box = ui.stage.getBoundingClientRect();
    slide(Math.min(100, Math.max(0, (100 * (e.clientX - box.left)) / box.width)));
  });

for (const event of ["dragenter", "dragover", "dragleave", "drop"])
  addEventListener(event, (e) => {
    e.preventDefault(); // or the browser would leave the page and open the file
    document.body.classList.toggle("dropping", event === "dragenter" || event === "dragover");
    if (event === "drop" && !ui.sources.disabled && e.dataTransfer.files.length)
      fileOf(e.dataTransfer.files[0]);
  });
