//! Transcripts: what the two peers say to each other and to their programs, step by step.
//!
//! A transcript is a text file in `tests/golden/sync`. Lines that start with `>` are what the test
//! does; the lines under each are what followed, and are what is compared. `TERCET_BLESS=1` writes
//! them anew, to be reviewed as a diff. Everything is JSON as on the wire, so a transcript is also
//! an example of the protocol.
//!
//! Steps: `> server MS SESSION MESSAGE` and `> client MS MESSAGE` give a peer a message (a server
//! session begins with its hello; `> readonly …` begins one that may not write), `> appended ok|failed`, `> tick MS`, `> backlog SESSION N`,
//! `> transact MS REQUEST OPS`, `> restart`; for the client `> opened MS`, `> closed MS`,
//! `> write MS OPS`, `> stored N`, `> subscribe MODE QUERY`, `> unsubscribe N`. `# server` or `# client`
//! in the first line says whose transcript it is, with `# support_facts_max N` and the like after it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tercet_engine::answer::Row;
use tercet_engine::commit::LogRecord;
use tercet_engine::db::Query;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientSeq, Epoch, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_sync::message::{ClientMessage, Mode, SessionId, SubscriptionId};
use tercet_sync::wire_row::to_wire;
use tercet_sync::{
    AppendFailure, ClientConfig, ClientOutput, ClientPeer, Codec, Limits, Outbox, Recovery,
    RequestId, Rights, Tenant, TenantConfig, TenantOutput,
};

const FRAME_BYTES_MAX: u64 = 4 << 20;

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

trait Peer {
    /// Does a step.
    fn step(&mut self, verb: &str, rest: &str);
    /// What followed, a line each.
    fn output(&mut self) -> Option<String>;
}

// ---- the server ----

struct Server {
    limits: Limits,
    tenant: Tenant,
    log: Vec<LogRecord>,
    appending: Vec<LogRecord>,
    now_ms: u64,
}

fn open(limits: &Limits, log: &[LogRecord]) -> Tenant {
    let mut recovery = Recovery::new(TenantConfig {
        epoch: Epoch(0xc0ffee),
        replica: ReplicaId(0x5e),
        seed: [1; 32],
        drift_ms_max: 60_000,
        limits: limits.clone(),
        budget: Budget::unlimited(),
    });
    for record in log {
        recovery.replay(record.clone()).unwrap();
    }
    recovery.finish()
}

impl Server {
    fn new(limits: Limits) -> Server {
        let tenant = open(&limits, &[]);
        Server { limits, tenant, log: Vec::new(), appending: Vec::new(), now_ms: 0 }
    }

    fn receive(&mut self, rest: &str, write: bool) {
        let mut words = rest.splitn(3, ' ');
        self.now_ms = words.next().unwrap().parse().unwrap();
        let session = SessionId(words.next().unwrap().parse().unwrap());
        let bytes = words.next().unwrap().as_bytes();
        match Codec::Json.decode_client(bytes, FRAME_BYTES_MAX).unwrap() {
            ClientMessage::Hello(hello) => {
                self.tenant.connect(session, Rights { write }, &hello, self.now_ms);
            }
            message => self.tenant.receive(session, message, self.now_ms),
        }
    }
}

impl Peer for Server {
    fn step(&mut self, verb: &str, rest: &str) {
        match verb {
            "server" => self.receive(rest, true),
            "readonly" => self.receive(rest, false),
            "appended" => {
                let records = std::mem::take(&mut self.appending);
                let message = "the disk is full".to_owned();
                let result = match rest {
                    "ok" => {
                        self.log.extend(records);
                        Ok(())
                    }
                    _ => Err(AppendFailure { message }),
                };
                self.tenant.appended(result, self.now_ms);
            }
            "tick" => while self.tenant.tick(rest.parse().unwrap()) {},
            "disconnect" => self.tenant.disconnect(SessionId(rest.parse().unwrap())),
            "backlog" => {
                let (session, n) = rest.split_once(' ').unwrap();
                self.tenant.backlog(SessionId(session.parse().unwrap()), n.parse().unwrap());
            }
            "transact" => {
                let mut words = rest.splitn(3, ' ');
                let now_ms = words.next().unwrap().parse().unwrap();
                let request = RequestId(words.next().unwrap().parse().unwrap());
                let ops = serde_json::from_str(words.next().unwrap()).unwrap();
                self.tenant.transact(request, None, ops, Rights { write: true }, now_ms);
            }
            "restart" => self.tenant = open(&self.limits, &self.log),
            other => panic!("no step `{other}`"),
        }
    }

    fn output(&mut self) -> Option<String> {
        Some(match self.tenant.poll()? {
            TenantOutput::Append(records) => {
                let lines: Vec<String> = records.iter().map(describe_record).collect();
                self.appending = records;
                format!("append {}", lines.join(", "))
            }
            TenantOutput::Send { session, frame } => {
                let bytes = frame.bytes(Codec::Json);
                format!("to {session}: {}", std::str::from_utf8(&bytes).unwrap())
            }
            TenantOutput::Close { session, code, message } => {
                format!("close {session}: {code}: {message}")
            }
            TenantOutput::Reply { request, result } => match result {
                Ok(accepted) => format!(
                    "reply {}: {} {}",
                    request.0,
                    json(&accepted.checkpoint),
                    json(&accepted.effects)
                ),
                Err(error) => format!("reply {}: {}: {error}", request.0, error.code()),
            },
        })
    }
}

fn describe_record(record: &LogRecord) -> String {
    let origin = record.origin();
    match record {
        LogRecord::Commit { seq, .. } => {
            format!("commit {seq} = {} of {}", origin.number, origin.client)
        }
        LogRecord::Reject { rejection, .. } => {
            format!("reject {} of {} ({})", origin.number, origin.client, rejection.code)
        }
    }
}

// ---- the client ----

struct Client {
    peer: ClientPeer,
    /// The stamps under which transactions were handed to the outbox last.
    handed: BTreeMap<ClientSeq, Hlc>,
}

impl Client {
    fn new(limits: Limits) -> Client {
        let outbox = Outbox { client: Some("phone".parse().unwrap()), ..Outbox::default() };
        let config = ClientConfig {
            key: "trc_k".to_owned(),
            seed: [2; 32],
            durable: true,
            limits,
            budget: Budget::unlimited(),
        };
        Client { peer: ClientPeer::new(config, outbox, 1_000), handed: BTreeMap::new() }
    }
}

impl Peer for Client {
    fn step(&mut self, verb: &str, rest: &str) {
        match verb {
            "opened" => self.peer.opened(rest.parse().unwrap()),
            "closed" => self.peer.closed(rest.parse().unwrap()),
            "tick" => self.peer.tick(rest.parse().unwrap()),
            "stored" => {
                let number = ClientSeq(rest.parse().unwrap());
                self.peer.stored(number, self.handed[&number]);
            }
            "unsubscribe" => self.peer.unsubscribe(SubscriptionId(rest.parse().unwrap())),
            "client" => {
                let (now_ms, message) = rest.split_once(' ').unwrap();
                let message = Codec::Json.decode_server(message.as_bytes(), FRAME_BYTES_MAX);
                self.peer.received(message.unwrap(), now_ms.parse().unwrap());
            }
            "write" => {
                let (now_ms, ops) = rest.split_once(' ').unwrap();
                let ops = serde_json::from_str(ops).unwrap();
                self.peer.transact(ops, now_ms.parse().unwrap()).unwrap();
            }
            "subscribe" => {
                let (mode, text) = rest.split_once(' ').unwrap();
                let mode: Mode = serde_json::from_str(&format!("\"{mode}\"")).unwrap();
                let raw = tercet_query_lang::parse(text).unwrap().raw;
                self.peer.subscribe(&Query::prepare(raw).unwrap(), &[], mode).unwrap();
            }
            other => panic!("no step `{other}`"),
        }
    }

    fn output(&mut self) -> Option<String> {
        Some(match self.peer.poll()? {
            ClientOutput::Send(message) => {
                let bytes = Codec::Json.encode_client(&message);
                format!("send {}", std::str::from_utf8(&bytes).unwrap())
            }
            ClientOutput::Update(update) => {
                let rows = |rows: &[Row]| -> String {
                    let rows = rows.iter().map(|row| to_wire(row.clone()).unwrap());
                    let rows: Vec<_> = rows.collect();
                    json(&rows)
                };
                let mut line = format!(
                    "update {}: {}",
                    update.subscription,
                    rows(&update.answer.rows.to_vec())
                );
                for (sign, changed) in [('+', &update.delta.added), ('-', &update.delta.removed)] {
                    if !changed.is_empty() {
                        write!(line, " {sign}{}", rows(changed)).unwrap();
                    }
                }
                line += if update.complete { " complete" } else { " partial" };
                line += if update.pending { " pending" } else { "" };
                line
            }
            ClientOutput::Persist(entry) => {
                self.handed.insert(entry.number, entry.transaction.hlc);
                format!("persist {} {}", entry.number, json(&entry.transaction))
            }
            ClientOutput::Rewrite(outbox) => {
                let entries = outbox.entries.iter();
                self.handed = entries.map(|it| (it.number, it.transaction.hlc)).collect();
                let entries: Vec<String> = outbox
                    .entries
                    .iter()
                    .map(|entry| format!("{} {}", entry.number, json(&entry.transaction)))
                    .collect();
                format!(
                    "rewrite {} last {} [{}]",
                    outbox.client.unwrap(),
                    outbox.last_number,
                    entries.join(", ")
                )
            }
            other => format!("{other:?}"),
        })
    }
}

// ---- the runner ----

fn limits_of(header: &str) -> Limits {
    let mut limits = serde_json::to_value(Limits::default()).unwrap();
    let words: Vec<&str> = header.split_whitespace().skip(2).collect();
    for pair in words.chunks(2) {
        limits[pair[0]] = pair[1].parse::<u64>().unwrap().into();
    }
    serde_json::from_value(limits).unwrap()
}

fn run(transcript: &str) -> String {
    let header = transcript.lines().next().unwrap();
    let mut peer: Box<dyn Peer> = match header.starts_with("# server") {
        true => Box::new(Server::new(limits_of(header))),
        false => Box::new(Client::new(limits_of(header))),
    };
    let mut written = String::new();
    let follow = |peer: &mut dyn Peer, written: &mut String| {
        while let Some(line) = peer.output() {
            writeln!(written, "{line}").unwrap();
        }
    };
    for line in transcript.lines() {
        if line.starts_with('#') {
            writeln!(written, "{line}").unwrap();
            if line == header {
                follow(peer.as_mut(), &mut written);
            }
        } else if let Some(step) = line.strip_prefix("> ") {
            writeln!(written, "\n{line}").unwrap();
            let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
            peer.step(verb, rest);
            follow(peer.as_mut(), &mut written);
        }
    }
    written
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sync");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn transcripts_are_as_written() {
    let mut n_different = 0;
    for path in transcripts() {
        let expected = std::fs::read_to_string(&path).unwrap();
        let found = run(&expected);
        if found != expected {
            if std::env::var_os("TERCET_BLESS").is_some() {
                std::fs::write(&path, &found).unwrap();
                continue;
            }
            n_different += 1;
            let lines = expected.lines().zip(found.lines());
            let first = lines.enumerate().find(|(_, (expected, found))| expected != found);
            eprintln!("{}: {first:#?}", path.display());
        }
    }
    assert_eq!(n_different, 0, "review, then bless with TERCET_BLESS=1");
}
