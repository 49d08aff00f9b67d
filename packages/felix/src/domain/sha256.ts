/**
 * SHA-256 of short text, without a runtime call: chain names and rule marks are part of the pure core, and a synchronous
 * hash of a hundred bytes is quicker here than a crossing into the runtime's crypto.
 *
 * Source: FIPS 180-4 §6.2.
 */

const FRACTIONS_OF = (power: number, count: number): Uint32Array =>
  Uint32Array.from(primes(count), (p) => Math.floor((p ** power % 1) * 2 ** 32) >>> 0);

function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n);
  return found;
}

const K = Int32Array.from(FRACTIONS_OF(1 / 3, 64));
const INITIAL = Int32Array.from(FRACTIONS_OF(1 / 2, 8));
const encoder = new TextEncoder();

/** Reused by every call: nothing here is asynchronous. */
const schedule = new Int32Array(64);
const state = new Int32Array(8);
let padded = new Uint8Array(1024);

/** The 32 octets of the digest. */
export function sha256(text: string): Uint8Array {
  hashInto(text);
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++) out[i] = state[i >> 2]! >>> (24 - 8 * (i & 3));
  return out;
}

/** Leaves the digest in `state`. */
function hashInto(text: string): void {
  const room = ((text.length * 3 + 72) >> 6) << 6;
  if (padded.length < room) padded = new Uint8Array(room * 2);
  const { written: length } = encoder.encodeInto(text, padded);
  const end = (((length + 8) >> 6) + 1) << 6;
  padded.fill(0, length, end);
  padded[length] = 0x80;
  const bits = length * 8;
  for (let i = 0; i < 4; i++) padded[end - 1 - i] = bits >>> (8 * i);
  padded[end - 5] = Math.floor(length / 2 ** 29);
  state.set(INITIAL);
  for (let at = 0; at < end; at += 64) compress(padded, at);
}

function compress(octets: Uint8Array, at: number): void {
  const w = schedule;
  for (let i = 0, o = at; i < 16; i++, o += 4) w[i] = (octets[o]! << 24) | (octets[o + 1]! << 16) | (octets[o + 2]! << 8) | octets[o + 3]!;
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The digest in URL-safe base64 without padding, cut to `length` characters. */
export function sha256Base64Url(text: string, length = 43): string {
  hashInto(text);
  const codes: number[] = [];
  for (let bit = 0; codes.length < length && bit < 256; bit += 6) {
    const word = state[bit >> 5]!;
    const shift = 26 - (bit & 31);
    const six = shift >= 0 ? word >>> shift : (word << -shift) | ((state[(bit >> 5) + 1] ?? 0) >>> (32 + shift));
    codes.push(ALPHABET.charCodeAt(six & 63));
  }
  // One flat string: grown letter by letter it would be a chain of sixteen.
  return String.fromCharCode(...codes);
}
