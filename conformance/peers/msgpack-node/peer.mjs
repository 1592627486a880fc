// SPDX-License-Identifier: MIT
// A peer in JavaScript that knows choir from docs/protocol/msgpack.md alone: the Testbed service, as client and server.
//
// usage: node peer.mjs serve                        prints where it listens, then answers until it is stopped
//        node peer.mjs call HOST:PORT METHOD JSON...   prints the result, or `error: ...` and exits with 1
import net from "node:net";
import { encode, decode } from "@msgpack/msgpack";

// Method ids have 64 bits, more than a number of JavaScript holds.
const pack = (value) => encode(value, { useBigInt64: true });
const unpack = (bytes) => decode(bytes, { useBigInt64: true });

const METHODS = {
  echo: 0x880bc4eee23574ben, reverse: 0x1c223f30e180392an, divide: 0xfb68d9318f830875n, lookup: 0xa15ff52094712a3bn,
  echo_gnarly: 0xb6facae6a7a86e99n, echo_bytes: 0x44056c7842fa336cn, echo_bool: 0x5136d8f01a5f496cn,
  echo_u64: 0x85e2380dbf7ffe65n, echo_option_string: 0xb1a5bfd205b3fbfcn,
};
const bytes = (text) => Uint8Array.from(Buffer.from(text, "latin1"));
const PROLOGUE = bytes("VOTH\x09\x10\0\0"), ACCEPT = bytes("VOTA\x09\x10\0\0"), REJECT = bytes("VOTR\x09\x01\0\0");
const same = (a, b) => Buffer.compare(a, b) === 0;
const settings = (parity) => ({ parity, max_concurrent_requests: 64 });

// Payloads with their length in front, and msgpack in them.
class Link {
  constructor(socket) {
    this.socket = socket.setNoDelay();
    this.chunks = socket[Symbol.asyncIterator]();
    this.waiting = Buffer.alloc(0);
  }
  send(payload) {
    const frame = Buffer.alloc(4 + payload.length);
    frame.writeUInt32LE(payload.length);
    frame.set(payload, 4);
    this.socket.write(frame);
  }
  async take(count) {
    while (this.waiting.length < count) {
      const { value, done } = await this.chunks.next();
      if (done) throw new Error("the link ended");
      this.waiting = Buffer.concat([this.waiting, value]);
    }
    const taken = this.waiting.subarray(0, count);
    this.waiting = this.waiting.subarray(count);
    return taken;
  }
  async receive() {
    return this.take((await this.take(4)).readUInt32LE());
  }
  put(value) {
    this.send(pack(value));
  }
  sendMessage(variant, members) {
    this.put({ connection_id: 0, payload: { [variant]: members } });
  }
  // The next message as [variant, members]; Pings are answered on the way.
  async receiveMessage() {
    for (;;) {
      const [[variant, members]] = Object.entries(unpack(await this.receive()).payload);
      if (variant === "ProtocolError") throw new Error(members.description);
      if (variant !== "Ping") return [variant, members];
      this.sendMessage("Pong", members);
    }
  }
}

// ---- client ----

async function connect(host, port) {
  const link = new Link(net.connect(port, host));
  link.send(PROLOGUE);
  link.put({ Hello: { parity: "Odd", connection_settings: settings("Odd") } });
  if (!same(await link.receive(), ACCEPT)) throw new Error("the peer does not speak msgpack");
  if (!("HelloYourself" in unpack(await link.receive()))) throw new Error("the peer refused the session");
  link.put({ LetsGo: {} });
  return link;
}

// The Result of a call: {Ok: value} or {Err: error}.
async function call(link, id, method, values) {
  const args = pack(values.length ? values : null);
  link.sendMessage("RequestMessage", { id, body: { Call: { method_id: METHODS[method], args } } });
  for (;;) {
    const [variant, members] = await link.receiveMessage();
    if (variant === "RequestMessage" && Number(members.id) === id) return unpack(members.body.Response.ret);
  }
}

// ---- server ----

const user = (error) => ({ Err: { User: error } });
const person = (name, age, email) => ({ Ok: { name, age, email } });
const PEOPLE = [, person("Alice", 30, "alice@example.com"), person("Bob", 25, null), person("Charlie", 35, "charlie@example.com")];
const HANDLERS = {
  reverse: (text) => ({ Ok: [...text].reverse().join("") }),
  divide(dividend, divisor) {
    if (Number(divisor) === 0) return user("DivisionByZero");
    const quotient = BigInt(dividend) / BigInt(divisor);
    return quotient < 1n << 63n ? { Ok: quotient } : user("Overflow");
  },
  lookup: (id) => PEOPLE[id] ?? user(id >= 100 && id < 200 ? "AccessDenied" : "NotFound"),
};

function answer(id, args) {
  const name = Object.keys(METHODS).find((each) => METHODS[each] === BigInt(id));
  if (!name) return { Err: "UnknownMethod" };
  try {
    return (HANDLERS[name] ?? ((value) => ({ Ok: value })))(...unpack(args));
  } catch (error) {
    return { Err: { InvalidPayload: String(error) } };
  }
}

async function serve(socket) {
  const link = new Link(socket);
  if (!same(await link.receive(), PROLOGUE)) return link.send(REJECT);
  link.send(ACCEPT);
  const theirs = unpack(await link.receive()).Hello.parity;
  link.put({ HelloYourself: { connection_settings: settings(theirs === "Odd" ? "Even" : "Odd") } });
  if (!("LetsGo" in unpack(await link.receive()))) return;
  for (;;) {
    const [variant, { id, body }] = await link.receiveMessage();
    if (variant !== "RequestMessage" || !body.Call) continue;
    const ret = pack(answer(body.Call.method_id, body.Call.args));
    link.sendMessage("RequestMessage", { id, body: { Response: { ret } } });
  }
}

// ---- JSON with integers of 64 bits and bytes ----

const fromJson = (text) =>
  JSON.parse(text.replace(/(?<![\w".])-?\d{16,}(?![\w".])/g, '"$&n"'),
    (key, value) => (/^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value));
const toJson = (value) =>
  JSON.stringify(value, function (key, v) { // a Buffer has become an object of its own in v
    return typeof v === "bigint" ? `${v}n` : this[key] instanceof Uint8Array ? [...this[key]] : v;
  }).replace(/"(-?\d+)n"/g, "$1");

const [command, address, method, ...values] = process.argv.slice(2);
if (command === "serve") {
  const server = net.createServer((socket) =>
    serve(socket).catch((error) => console.error(`session ended: ${error}`)).finally(() => socket.end()));
  server.listen(0, "127.0.0.1", () => console.log(`listening on tcp://127.0.0.1:${server.address().port}`));
} else {
  const [host, port] = address.split(/:(?=\d+$)/);
  const link = await connect(host, Number(port));
  const result = await call(link, 1, method, values.map(fromJson));
  console.log("Err" in result ? `error: ${toJson(result.Err)}` : toJson(result.Ok));
  process.exitCode = "Err" in result ? 1 : 0;
  link.socket.destroy();
}
