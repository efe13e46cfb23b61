// The arithmetic, away from the page, so that the page stays alive meanwhile.
//
// In:  {runtime, wasm, model}                                        load, once
//      {rgba, width, height, workingSize}                            translate one picture
// Out: {loaded: true}, {step: [width, height]}, {rgba, seconds, width, height}, {error}

let ort;
let session;

self.onmessage = async ({ data }) => {
  try {
    if (data.model) {
      await load(data);
      self.postMessage({ loaded: true });
    } else {
      const result = await translate(data);
      self.postMessage(result, [result.rgba.buffer]);
    }
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
};

async function load({ runtime, wasm, model }) {
  ort = await import(runtime);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(new Uint8Array(model), {
    executionProviders: ["wasm"],
  });
}

// rgba: the picture over white. Its alpha comes back as it was.
async function translate({ rgba, alpha, width, height, workingSize }) {
  const scale = workingSize / Math.max(width, height);
  const reduced = workingSize > 0 && scale < 1;
  const w = reduced ? Math.max(1, roundHalfToEven(width * scale)) : width;
  const h = reduced ? Math.max(1, roundHalfToEven(height * scale)) : height;
  self.postMessage({ step: [w, h] });
  const started = performance.now();
  let pixels = reduced ? resize(rgba, width, height, w, h, bicubic, 2) : rgba;
  pixels = fromTensor(await run(toTensor(pixels, w, h), w, h), w, h);
  if (reduced) pixels = resize(pixels, w, h, width, height, lanczos, 3);
  for (let i = 0; i < alpha.length; i++) pixels[4 * i + 3] = alpha[i];
  const seconds = (performance.now() - started) / 1000;
  return { rgba: pixels, seconds, width: w, height: h };
}

async function run(values, width, height) {
  const picture = new ort.Tensor("float32", values, [1, 3, height, width]);
  const { translation } = await session.run({ picture });
  return translation.data;
}

// Pixels RGBA -> planes R, G, B in [-1, 1].
function toTensor(rgba, width, height) {
  const area = width * height;
  const values = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < area; i++) values[c * area + i] = rgba[4 * i + c] / 127.5 - 1;
  return values;
}

function fromTensor(values, width, height) {
  const area = width * height;
  const rgba = new Uint8ClampedArray(4 * area).fill(255); // rounds and clips what is put into it
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < area; i++) rgba[4 * i + c] = (values[c * area + i] + 1) * 127.5;
  return rgba;
}

// --- resizing as Pillow does it -----------------------------------------------------------------
// drawImage of a canvas resizes too, but each browser in its own way, and a generator sees the
// difference. Here each new pixel is a weighted sum of old ones, first along the rows, then along
// the columns; when a picture is reduced the window grows, so that nothing is skipped. As in Pillow
// the weights are whole numbers, so that both round a sum that ends in one half in the same way.

const ONE = 2 ** 22; // what the weights of a window add up to

function resize(rgba, width, height, newWidth, newHeight, kernel, support) {
  const rows = new Uint8ClampedArray(4 * newWidth * height);
  const across = windows(width, newWidth, kernel, support);
  stretch(rgba, rows, height, 4 * width, 4, across, 4 * newWidth, 4);
  const out = new Uint8ClampedArray(4 * newWidth * newHeight);
  const down = windows(height, newHeight, kernel, support);
  stretch(rows, out, newWidth, 4, 4 * newWidth, down, 4, 4 * newWidth);
  return out;
}

// Each of `lines` lines of RGBA pixels: new pixel = sum of old pixels by the weights of a window.
function stretch(from, to, lines, fromLine, fromStep, windows, toLine, toStep) {
  for (let line = 0; line < lines; line++) {
    windows.forEach(({ first, weights }, index) => {
      const target = line * toLine + index * toStep;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        let at = line * fromLine + first * fromStep + c;
        for (let k = 0; k < weights.length; k++, at += fromStep) sum += weights[k] * from[at];
        to[target + c] = Math.floor(sum / ONE + 0.5);
      }
      to[target + 3] = 255;
    });
  }
}

function windows(length, newLength, kernel, support) {
  const scale = length / newLength;
  const stretched = Math.max(scale, 1);
  const radius = support * stretched;
  return Array.from({ length: newLength }, (_, index) => {
    const center = (index + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - radius + 0.5));
    const end = Math.min(length, Math.floor(center + radius + 0.5));
    const weights = new Float64Array(end - first);
    for (let i = first; i < end; i++) weights[i - first] = kernel((i + 0.5 - center) / stretched);
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => Math.round((weight / sum) * ONE)) };
  });
}

// Keys 1981 with a = -0.5
function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return 1.5 * x ** 3 - 2.5 * x ** 2 + 1;
  return x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
}

function lanczos(x) {
  return Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// Python's round(), which the course uses for the reduced sides.
function roundHalfToEven(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down % 2) : Math.round(x);
}
