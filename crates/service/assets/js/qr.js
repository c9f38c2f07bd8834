// Makes QR codes (ISO/IEC 18004, model 2): byte mode, error correction L or M, versions 1 to 20. In the browser, because
// a pairing code holds a secret that must not reach the service.

const MAX_VERSION = 20;
/** Check words a block, and blocks, by version from 1. */
const LEVELS = {
  L: {
    bits: 1,
    check: [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28],
    blocks: [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8],
  },
  M: {
    bits: 0,
    check: [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26],
    blocks: [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16],
  },
};

/** The modules of a code for `text`: rows of true (dark) and false. Throws RangeError when it is too long. */
export function encodeQr(text, level = "M") {
  const bytes = new TextEncoder().encode(text);
  const rules = LEVELS[level];
  for (let version = 1; version <= MAX_VERSION; version += 1) {
    const check = rules.check[version - 1] * rules.blocks[version - 1];
    const room = Math.floor(modulesForData(version) / 8) - check;
    const lengthBits = version < 10 ? 8 : 16;
    if (4 + lengthBits + 8 * bytes.length <= 8 * room) {
      const words = addCheckWords(dataWords(bytes, lengthBits, room), version, rules);
      return draw(version, words, rules.bits);
    }
  }
  throw new RangeError("the text does not fit into a QR code of version 20");
}

function dataWords(bytes, lengthBits, room) {
  const bits = [];
  const push = (value, count) => {
    for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
  };
  push(0b0100, 4);
  push(bytes.length, lengthBits);
  for (const byte of bytes) push(byte, 8);
  push(0, Math.min(4, 8 * room - bits.length));
  push(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < 8 * room; pad ^= 0xec ^ 0x11) push(pad, 8);
  return Array.from({ length: room }, (_, at) => bits.slice(8 * at, 8 * at + 8).reduce((word, bit) => (word << 1) | bit, 0));
}

// ---- Reed-Solomon over GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1 ------------------------------------------------------------

function times(one, other) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((other >> bit) & 1) * one;
  }
  return product;
}

function generator(degree) {
  const factors = Array(degree).fill(0);
  factors[degree - 1] = 1;
  let root = 1;
  for (let power = 0; power < degree; power += 1) {
    for (let at = 0; at < degree; at += 1) {
      factors[at] = times(factors[at], root) ^ (factors[at + 1] ?? 0);
    }
    root = times(root, 2);
  }
  return factors;
}

function remainder(data, factors) {
  const rest = Array(factors.length).fill(0);
  for (const word of data) {
    const lead = word ^ rest.shift();
    rest.push(0);
    factors.forEach((factor, at) => {
      rest[at] ^= times(factor, lead);
    });
  }
  return rest;
}

function addCheckWords(data, version, rules) {
  const blocks = rules.blocks[version - 1];
  const factors = generator(rules.check[version - 1]);
  const short = Math.floor(data.length / blocks);
  const long = data.length % blocks;
  const parts = [];
  let at = 0;
  for (let block = 0; block < blocks; block += 1) {
    const length = short + (block >= blocks - long ? 1 : 0);
    const part = data.slice(at, at + length);
    at += length;
    parts.push({ part, check: remainder(part, factors) });
  }
  const words = [];
  for (let column = 0; column <= short; column += 1) {
    for (const { part } of parts) if (column < part.length) words.push(part[column]);
  }
  for (let column = 0; column < factors.length; column += 1) for (const { check } of parts) words.push(check[column]);
  return words;
}

// ---- drawing ------------------------------------------------------------------------------------------------------------------

function alignmentPlaces(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
  const places = [6];
  for (let place = version * 4 + 10; places.length < count; place -= step) places.splice(1, 0, place);
  return places;
}

function modulesForData(version) {
  const size = version * 4 + 17;
  let modules = size * size - 3 * 64 - 31 - 2 * (size - 16); // finders, format and dark module, timing
  if (version >= 2) {
    const count = Math.floor(version / 7) + 2;
    modules -= (count * count - 3) * 25 - (count - 2) * 2 * 5;
    if (version >= 7) modules -= 36;
  }
  return modules;
}

function draw(version, words, levelBits) {
  const size = version * 4 + 17;
  const dark = Array.from({ length: size }, () => Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => Array(size).fill(false));
  const set = (row, column, value) => {
    if (row < 0 || column < 0 || row >= size || column >= size) return;
    dark[row][column] = value;
    fixed[row][column] = true;
  };
  const square = (row, column, reach, isDark) => {
    for (let down = -reach; down <= reach; down += 1) {
      for (let right = -reach; right <= reach; right += 1) {
        set(row + down, column + right, isDark(Math.max(Math.abs(down), Math.abs(right))));
      }
    }
  };

  for (let at = 0; at < size; at += 1) {
    set(6, at, at % 2 === 0);
    set(at, 6, at % 2 === 0);
  }
  for (const [row, column] of [[3, 3], [3, size - 4], [size - 4, 3]]) square(row, column, 4, (ring) => ring !== 2 && ring !== 4);
  const places = alignmentPlaces(version);
  const last = places.length - 1;
  places.forEach((row, down) => places.forEach((column, right) => {
    const finder = (down === 0 && (right === 0 || right === last)) || (down === last && right === 0);
    if (!finder) square(row, column, 2, (ring) => ring !== 1);
  }));
  drawFormat(set, size, levelBits, 0); // reserves the places
  if (version >= 7) drawVersion(set, size, version);

  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const upward = ((right + 1) & 2) === 0;
    for (let step = 0; step < size; step += 1) {
      const row = upward ? size - 1 - step : step;
      for (const column of [right, right - 1]) {
        if (fixed[row][column]) continue;
        if (bit < words.length * 8) dark[row][column] = ((words[bit >> 3] >> (7 - (bit & 7))) & 1) === 1;
        bit += 1;
      }
    }
  }

  let best = null;
  for (let mask = 0; mask < 8; mask += 1) {
    const masked = dark.map((line, row) => line.map((value, column) => value !== (!fixed[row][column] && MASKS[mask](row, column))));
    drawFormat((row, column, value) => {
      masked[row][column] = value;
    }, size, levelBits, mask);
    const cost = penalty(masked);
    if (!best || cost < best.cost) best = { cost, masked };
  }
  return best.masked;
}

const MASKS = [
  (row, column) => (row + column) % 2 === 0,
  (row) => row % 2 === 0,
  (row, column) => column % 3 === 0,
  (row, column) => (row + column) % 3 === 0,
  (row, column) => (Math.floor(row / 2) + Math.floor(column / 3)) % 2 === 0,
  (row, column) => ((row * column) % 2) + ((row * column) % 3) === 0,
  (row, column) => (((row * column) % 2) + ((row * column) % 3)) % 2 === 0,
  (row, column) => (((row + column) % 2) + ((row * column) % 3)) % 2 === 0,
];

function drawFormat(set, size, levelBits, mask) {
  const data = (levelBits << 3) | mask;
  let rest = data;
  for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((data << 10) | rest) ^ 0x5412;
  const bit = (at) => ((bits >> at) & 1) === 1;
  for (let at = 0; at <= 5; at += 1) set(at, 8, bit(at));
  set(7, 8, bit(6));
  set(8, 8, bit(7));
  set(8, 7, bit(8));
  for (let at = 9; at < 15; at += 1) set(8, 14 - at, bit(at));
  for (let at = 0; at < 8; at += 1) set(8, size - 1 - at, bit(at));
  for (let at = 8; at < 15; at += 1) set(size - 15 + at, 8, bit(at));
  set(size - 8, 8, true);
}

function drawVersion(set, size, version) {
  let rest = version;
  for (let step = 0; step < 12; step += 1) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let at = 0; at < 18; at += 1) {
    const value = ((bits >> at) & 1) === 1;
    const far = size - 11 + (at % 3);
    const near = Math.floor(at / 3);
    set(near, far, value);
    set(far, near, value);
  }
}

/** How hard a mask is to read (section 7.8.3). */
function penalty(modules) {
  const size = modules.length;
  const columns = modules.map((_, at) => modules.map((row) => row[at]));
  let cost = 0;
  for (const line of [...modules, ...columns]) {
    let run = 1;
    for (let at = 1; at <= size; at += 1) {
      if (at < size && line[at] === line[at - 1]) {
        run += 1;
      } else {
        if (run >= 5) cost += run - 2;
        run = 1;
      }
    }
    const text = line.map((value) => (value ? "1" : "0")).join("");
    for (const shape of ["10111010000", "00001011101"]) {
      for (let at = text.indexOf(shape); at >= 0; at = text.indexOf(shape, at + 1)) cost += 40;
    }
  }
  let darkModules = 0;
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column < size; column += 1) {
      const value = modules[row][column];
      if (value) darkModules += 1;
      const same = row + 1 < size && column + 1 < size && value === modules[row + 1][column]
        && value === modules[row][column + 1] && value === modules[row + 1][column + 1];
      if (same) cost += 3;
    }
  }
  return cost + 10 * Math.floor(Math.abs((darkModules * 20) / (size * size) - 10));
}

/** A canvas showing `text` as a code, whole pixels a module, with its quiet zone of 4 modules. */
export function qrCanvas(text, label, level = "M") {
  const modules = encodeQr(text, level);
  const quiet = 4;
  const side = modules.length + 2 * quiet;
  const scale = Math.max(4, Math.floor(560 / side));
  const canvas = document.createElement("canvas");
  canvas.width = side * scale;
  canvas.height = side * scale;
  canvas.className = "qr";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#000";
  modules.forEach((row, down) => row.forEach((isDark, right) => {
    if (isDark) context.fillRect((right + quiet) * scale, (down + quiet) * scale, scale, scale);
  }));
  return canvas;
}

/** A frame that shows a code and is drawn once: `name` says which code it is. Another code is another element, since a canvas keeps its picture. */
export function codeBox(name, testid, make) {
  const box = document.createElement("div");
  box.className = "code-box";
  Object.assign(box.dataset, { keep: name, key: `code ${name}`, testid });
  if (!document.querySelector(`[data-keep="${CSS.escape(name)}"] canvas`)) box.append(make());
  return box;
}
