// DataScript behind standard input and output: one JSON object a line in, one a line out.
//
// One process serves a whole run; it holds one database at a time. A request is one of
//
//   {"do": "facts", "facts": [[entity, attribute, value], …]}   adds to what the next index holds
//   {"do": "index", "schema": {…}}                              makes them the database
//   {"do": "query", "query": EDN, "inputs": [value, …]}         → {"rows": …}
//   {"do": "time", "query": EDN, "inputs": […], "times": n}     → {"n_rows": n, "wall_us": […], "cpu_us": […]}
//
// and every answer has {"ok": true} or {"ok": false, "error": text}. `query` adds the times of its
// one run. Inputs follow `$` and stand in the order of `:in`; rules are an input of EDN text, as
// DataScript's JavaScript API has it. Values are JSON, a date is {"$date": milliseconds} both ways.
// Entities are the caller's integers.

import { createInterface } from "node:readline";
import datascript from "datascript";

let facts = [];
let database = datascript.empty_db();

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value !== null && typeof value === "object" && "$date" in value) return new Date(value.$date);
  return value;
}

function plain(value) {
  if (value instanceof Date) return { $date: value.getTime() };
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}

function timed(query, inputs) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const result = datascript.q(query, database, ...inputs);
  const wall_us = Number(process.hrtime.bigint() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { result, wall_us, cpu_us: user + system };
}

const requests = {
  facts(request) {
    for (const [entity, attribute, value] of request.facts) {
      facts.push([entity, attribute, revive(value)]);
    }
    return {};
  },

  index(request) {
    database = datascript.init_db(facts, request.schema);
    facts = [];
    return {};
  },

  query(request) {
    const { result, wall_us, cpu_us } = timed(request.query, request.inputs.map(revive));
    return { rows: plain(result), wall_us, cpu_us };
  },

  time(request) {
    const inputs = request.inputs.map(revive);
    const answer = { n_rows: 0, wall_us: [], cpu_us: [] };
    for (let run = 0; run < request.times; run += 1) {
      const { result, wall_us, cpu_us } = timed(request.query, inputs);
      answer.n_rows = result.length;
      answer.wall_us.push(wall_us);
      answer.cpu_us.push(cpu_us);
    }
    return answer;
  },
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = { ok: true, ...requests[request.do](request) };
  } catch (error) {
    answer = { ok: false, error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
