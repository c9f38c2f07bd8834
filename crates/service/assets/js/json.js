// JSON as the signed messages need it, stricter than JSON.parse: no repeated names, whole numbers told apart from others,
// no lone surrogates, UTF-8 only. So the page never reads another content from signed bytes than the watch does.
//
// Objects become Maps (no prototype to be surprised by); numbers that are not whole become NotWhole.

const MAX_DEPTH = 128; // what serde_json takes

export class NotWhole {}

export class JsonError extends Error {}

/** Parses UTF-8 bytes. Throws JsonError. */
export function parseJson(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonError("not UTF-8");
  }
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.space();
  if (parser.at !== text.length) throw new JsonError("something follows the value");
  return value;
}

class Parser {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  space() {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  value(depth) {
    if (depth >= MAX_DEPTH) throw new JsonError("nested too deeply");
    this.space();
    const next = this.text[this.at];
    if (next === "{") return this.object(depth);
    if (next === "[") return this.array(depth);
    if (next === '"') return this.string();
    for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  object(depth) {
    const found = new Map();
    this.at += 1;
    this.space();
    if (this.take("}")) return found;
    do {
      this.space();
      if (this.text[this.at] !== '"') throw new JsonError("a name is missing");
      const name = this.string();
      if (found.has(name)) throw new JsonError("a name is repeated");
      this.space();
      this.need(":");
      found.set(name, this.value(depth + 1));
      this.space();
    } while (this.take(","));
    this.need("}");
    return found;
  }

  array(depth) {
    const found = [];
    this.at += 1;
    this.space();
    if (this.take("]")) return found;
    do {
      found.push(this.value(depth + 1));
      this.space();
    } while (this.take(","));
    this.need("]");
    return found;
  }

  string() {
    const start = this.at;
    this.at += 1;
    for (;;) {
      const next = this.text[this.at];
      if (next === undefined) throw new JsonError("a string has no end");
      this.at += next === "\\" ? 2 : 1;
      if (next === '"') break;
    }
    let value;
    try {
      value = JSON.parse(this.text.slice(start, this.at)); // escapes and control characters are its rules
    } catch {
      throw new JsonError("a string is not in its form");
    }
    if (!isWellFormed(value)) throw new JsonError("a string holds half a character");
    return value;
  }

  number() {
    const form = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
    form.lastIndex = this.at;
    const found = form.exec(this.text);
    if (!found) throw new JsonError("not a value");
    this.at = form.lastIndex;
    if (found[1] || found[2] || found[0] === "-0") return new NotWhole();
    const number = Number(found[0]);
    return Number.isSafeInteger(number) ? number : new NotWhole();
  }

  take(character) {
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  need(character) {
    if (!this.take(character)) throw new JsonError(`"${character}" is missing`);
  }
}

function isWellFormed(text) {
  return !/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.test(text);
}
