//! Bulk: import, export and changes, streaming and repeatable.

use std::fmt::Write;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tercet_server::{ServerConfig, StorageChoice};
use tokio::time::timeout;

use crate::harness::{ADMIN, App, HANG, TestServer, send};

/// Operations that write a number to each of the entities `n0`, `n1`, ….
fn numbers(n: usize) -> String {
    let mut lines = String::new();
    for n in 0..n {
        writeln!(lines, r#"{{"set":{{"e":"n{n}","a":"n/v","v":{n}}}}}"#).unwrap();
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_an_import_changes_nothing() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let first = server.import(&app, "one", numbers(25_000)).await.ok();
    assert_eq!(
        first,
        json!({"id": "one", "lines": 25_000, "transactions": 3, "applied_before": 0, "seq": 3})
    );
    assert_eq!(server.rows(&app, "[:find (count ?e) :where [?e :n/v]]").await, json!([[25_000]]));
    let again = server.import(&app, "one", numbers(25_000)).await.ok();
    assert_eq!(
        again,
        json!({"id": "one", "lines": 25_000, "transactions": 3, "applied_before": 3, "seq": 3})
    );
    let other = server.import(&app, "one", numbers(24_000)).await;
    assert_eq!(other.problem(), (409, "seq_conflict".to_owned()));
    assert_eq!(other.json()["line"], 20_001);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_where_a_bad_line_stopped_it() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let good = numbers(21_000);
    let mut lines: Vec<&str> = good.lines().collect();
    lines[15_000] = r#"{"set":{"e":"n15000","a":"_v","v":1}}"#;
    let bad = server.import(&app, "two", lines.join("\n")).await;
    assert_eq!(bad.problem(), (400, "attribute_internal".to_owned()));
    assert_eq!(bad.json()["line"], 15_001);
    assert_eq!(bad.json()["transactions"], 1);
    assert_eq!(server.rows(&app, "[:find (count ?e) :where [?e :n/v]]").await, json!([[10_000]]));
    let mended = server.import(&app, "two", good).await.ok();
    assert_eq!(
        mended,
        json!({"id": "two", "lines": 21_000, "transactions": 3, "applied_before": 1, "seq": 3})
    );
    assert_eq!(server.rows(&app, "[:find (count ?e) :where [?e :n/v]]").await, json!([[21_000]]));
    server.stop().await;
}

#[tokio::test]
async fn an_import_that_breaks_off_leaves_whole_transactions() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let chunks = [Ok(numbers(10_500)), Err(std::io::Error::other("as a test"))];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = server.to(Method::POST, &app, "import?id=x").body(body);
    assert!(request.send().await.is_err());
    // The transaction may still be on its way when the client has gone: its number is asked for
    // by repeating the import.
    let again = server.import(&app, "x", numbers(10_500)).await.ok();
    assert_eq!((&again["transactions"], &again["lines"]), (&json!(2), &json!(10_500)));
    assert_eq!(server.rows(&app, "[:find (count ?e) :where [?e :n/v]]").await, json!([[10_500]]));
    server.stop().await;
}

#[tokio::test]
async fn an_import_needs_an_id_and_may_be_empty() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let without = send(server.to(Method::POST, &app, "import").body(numbers(1))).await;
    assert_eq!(without.problem(), (400, "malformed".to_owned()));
    let control = server.import(&app, "a\nb", numbers(1)).await;
    assert_eq!(control.problem(), (400, "id_control_character".to_owned()));
    let empty = server.import(&app, "id with space/and ü", "\n\n".to_owned()).await.ok();
    assert_eq!(empty["transactions"], 0);
    assert_eq!(empty["lines"], 2);
    assert_eq!(empty["id"], "id with space/and ü");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_make_shorter_transactions() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let value = "x".repeat(1_000_000);
    let mut lines = String::new();
    for n in 0..10 {
        writeln!(lines, r#"{{"set":{{"e":"n{n}","a":"n/v","v":"{value}"}}}}"#).unwrap();
    }
    let imported = server.import(&app, "large", lines.clone()).await.ok();
    assert_eq!((&imported["lines"], &imported["transactions"]), (&json!(10), &json!(3)));
    assert_eq!(server.import(&app, "large", lines).await.ok()["applied_before"], 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_imports_into_the_same_facts() {
    let server = TestServer::in_memory().await;
    let (from, to) = (server.app().await, server.app().await);
    server.import(&from, "n", numbers(3_000)).await.ok();
    server
        .transact(
            &from,
            json!([
                {"add": {"e": "u", "a": "user/tag", "v": "a\u{0}\n\"b"}},
                {"add": {"e": "u", "a": "user/tag", "v": 0.1}},
                {"add": {"e": "u", "a": "user/tag", "v": {"$int": "-9223372036854775808"}}},
                {"set": {"e": "u", "a": "user/boss", "v": {"$ref": "n1"}}},
                {"set": {"e": "gone", "a": "user/name", "v": "x"}},
                {"delete": {"e": "gone"}},
            ]),
        )
        .await;
    let exported = server.get(&from, "export").await;
    assert_eq!(exported.content_type, "application/x-ndjson");
    let lines = exported.lines();
    assert_eq!(lines[0]["facts"], 3_004);
    assert_eq!(lines[0]["checkpoint"]["seq"], 2);
    assert_eq!(lines.len(), 3_005);
    assert!(!exported.text.contains("gone"));
    let imported = server.import(&to, "copy", exported.text.clone()).await.ok();
    assert_eq!(imported["lines"], 3_005);
    let facts = |text: &str| {
        let mut facts: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        facts.sort();
        facts
    };
    let copied = server.get(&to, "export").await;
    assert_eq!(facts(&copied.text), facts(&exported.text));
    server.stop().await;
}

#[tokio::test]
async fn an_empty_app_exports_its_head() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let lines = server.get(&app, "export").await.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["facts"], &lines[0]["checkpoint"]["seq"]), (&json!(0), &json!(0)));
    server.stop().await;
}

#[tokio::test]
async fn changes_are_the_commits_after_a_position() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    for n in 1..=5 {
        let ops = json!([{"set": {"e": "u", "a": "user/age", "v": n}}]);
        let body = json!({"client": "c", "number": n, "ops": ops});
        server.post(&app, "transact", body).await.ok();
    }
    let checkpoint = server.get(&app, "export").await.lines()[0]["checkpoint"].clone();
    let epoch = checkpoint["epoch"].as_str().unwrap();
    let all = server.get(&app, "changes").await.lines();
    let seqs: Vec<u64> = all.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    let third = &all[2];
    assert_eq!((&third["client"], &third["number"]), (&json!("c"), &json!(3)));
    assert_eq!(third["ops"], json!([{"set": {"e": "u", "a": "user/age", "v": 3}}]));
    assert_eq!(third["hlc"].as_str().unwrap().len(), 32);
    assert!(third["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let some = server.get(&app, &format!("changes?after=2&limit=2&epoch={epoch}")).await.lines();
    assert_eq!(some, all[2..4]);
    let none = server.get(&app, &format!("changes?after=5&epoch={epoch}")).await;
    assert_eq!((none.status, none.text.as_str()), (200, ""));
    let other = server.get(&app, "changes?after=2&epoch=0123456789abcdef").await;
    assert_eq!(other.problem(), (410, "epoch_changed".to_owned()));
    assert_eq!(other.json()["epoch"], epoch);
    for bad in ["changes?after=2", "changes?after=x", "changes?epoch=x", "changes?limit=-1"] {
        assert_eq!(server.get(&app, bad).await.problem(), (400, "malformed".to_owned()), "{bad}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_digest_tells_replicas_apart() {
    let server = TestServer::in_memory().await;
    let (one, two) = (server.app().await, server.app().await);
    let set = |n: u64| json!({"ops": [{"set": {"e": "u", "a": "user/age", "v": n}}]});
    let empty = server.get(&one, "digest").await.json();
    assert_eq!((&empty["n_facts"], &empty["checkpoint"]["seq"]), (&json!(0), &json!(0)));
    assert_eq!(empty["fingerprint"], "0".repeat(32));
    server.post(&one, "transact", set(1)).await.ok();
    let first = server.get(&one, "digest").await.json();
    assert_eq!((&first["n_facts"], &first["checkpoint"]["seq"]), (&json!(1), &json!(1)));
    // The same fact written again has another mark.
    server.post(&one, "transact", set(1)).await.ok();
    assert_ne!(server.get(&one, "digest").await.json()["fingerprint"], first["fingerprint"]);
    server.post(&one, "transact", json!({"ops": [{"delete": {"e": "u"}}]})).await.ok();
    let deleted = server.get(&one, "digest").await.json();
    assert_eq!(deleted["fingerprint"], empty["fingerprint"]);
    assert_eq!(server.get(&two, "digest").await.json()["checkpoint"]["seq"], 0);
    server.stop().await;
}

#[tokio::test]
async fn too_many_exports_are_refused() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.exports_max = 0;
    config.limits.queries_max = 0;
    config.limits.imports_max = 0;
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let overloaded = (503, "overloaded".to_owned());
    assert_eq!(server.get(&app, "export").await.problem(), overloaded);
    assert_eq!(server.post(&app, "query", json!({"query": "x"})).await.problem(), overloaded);
    assert_eq!(server.import(&app, "x", String::new()).await.problem(), overloaded);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_go_both_ways() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let post =
        |route: &str, body: &str| send(server.to(Method::POST, &app, route).body(body.to_owned()));
    let table = "id,name,tags:string[]\nu1,Ann,a|b\nu2,Bob,\n";
    let report = post("import?id=t&format=csv&entity=user", table).await.ok();
    let note = json!({"code": "type_guessed", "message": "column `name` was taken for string", "times": 1});
    assert_eq!(
        report,
        json!({"id": "t", "lines": 2, "transactions": 1, "applied_before": 0, "seq": 1, "notes": [note]})
    );
    let again = post("import?id=t&format=csv&entity=user", table).await.ok();
    assert_eq!((&again["applied_before"], &again["seq"]), (&json!(1), &json!(1)));

    let csv = server.get(&app, "export?format=csv").await;
    assert_eq!(csv.content_type, "text/csv");
    assert_eq!(csv.text, "id,user/name:string,user/tags:string[]\nu1,Ann,a|b\nu2,Bob,\n");
    for (name, media_type) in [
        ("tsv", "text/tab-separated-values"),
        ("ntriples", "application/n-triples"),
        ("turtle", "text/turtle"),
        ("edn", "application/edn"),
    ] {
        let exported = server.get(&app, &format!("export?format={name}")).await;
        assert_eq!(exported.content_type, media_type);
        let other = server.app().await;
        let request = server.to(Method::POST, &other, "import?id=x");
        let request = request.header("content-type", media_type).body(exported.text);
        assert_eq!(send(request).await.ok()["seq"], 1, "{name}");
        let facts = server.get(&other, "export").await;
        assert_eq!(facts.lines()[1..], server.get(&app, "export").await.lines()[1..], "{name}");
    }
    let zip = server.get(&app, "export?format=instant").await;
    assert_eq!((zip.status, zip.content_type.as_str()), (200, "application/zip"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_of_another_format_is_placed_and_what_is_whole_stays() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let post = |route: &str, body: String| send(server.to(Method::POST, &app, route).body(body));
    let mut table = "id,n:number\n".to_owned();
    (0..12_000).for_each(|n| writeln!(table, "n{n},{n}").unwrap());
    let good = table.clone();
    table.push_str("n12000,many\n");
    let bad = post("import?id=t&format=csv&entity=n", table).await;
    assert_eq!(bad.problem(), (400, "cell_malformed".to_owned()));
    assert_eq!((&bad.json()["line"], &bad.json()["column"]), (&json!(12_002), &json!(2)));
    assert_eq!(bad.json()["transactions"], 1);
    let rows = server.rows(&app, "[:find (count ?e) :where [?e :n/n]]").await;
    assert_eq!(rows, json!([[10_000]]));
    let mended = post("import?id=t&format=csv&entity=n", good).await.ok();
    assert_eq!((&mended["applied_before"], &mended["seq"]), (&json!(1), &json!(2)));

    let codes = [
        ("import?id=a&format=csv", "id,name\n", 400, "attribute_malformed"),
        ("import?id=a&format=xml", "", 400, "format_unknown"),
        ("import?id=a&format=instant", "", 400, "format_input"),
        ("import?id=a&format=edn&entity=user", "", 400, "format_option"),
        ("import?id=a&format=csv&color=red", "", 400, "malformed"),
        ("import?id=a&format=edn", "[[1 :user/name \"cut", 400, "truncated"),
    ];
    for (route, body, status, code) in codes {
        assert_eq!(
            post(route, body.to_owned()).await.problem(),
            (status, code.to_owned()),
            "{route}"
        );
    }
    for (route, code) in
        [("export?format=wordnet", "format_read_only"), ("export?colour=1", "malformed")]
    {
        assert_eq!(server.get(&app, route).await.problem(), (400, code.to_owned()), "{route}");
    }
    // A body that breaks off in the middle is no shorter table.
    let chunks = [Ok("id,n:number\nx1,1\n"), Err(std::io::Error::other("as a test"))];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = server.to(Method::POST, &app, "import?id=b&format=csv&entity=x").body(body);
    assert!(request.send().await.is_err());
    let rows = server.rows(&app, "[:find (count ?e) . :where [?e :x/n]]").await;
    assert_eq!(rows, json!([[0]]));
    server.stop().await;
}

/// Lines of a body that goes on, as they arrive.
struct Followed {
    response: reqwest::Response,
    rest: Vec<u8>,
}

impl Followed {
    async fn start(server: &TestServer, app: &App, route: &str) -> Followed {
        let response = server.to(Method::GET, app, route).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Followed { response, rest: Vec::new() }
    }

    /// The next line; none when the body has ended as it should.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = timeout(HANG, self.response.chunk()).await.expect("something comes");
            match chunk.unwrap() {
                Some(chunk) => self.rest.extend(chunk),
                None => {
                    assert!(self.rest.is_empty(), "the last line is whole");
                    return None;
                }
            }
        }
    }

    /// The seq of the next commit; heartbeats before it are passed over.
    async fn next_seq(&mut self) -> u64 {
        loop {
            let line = self.next().await.expect("the list goes on");
            if line.get("heartbeat").is_none() {
                return line["seq"].as_u64().unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followed_changes_go_on_without_gap_until_the_server_stops() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.heartbeat_interval = Duration::from_millis(20);
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let write = async |n: u64| {
        server.transact(&app, json!([{"set": {"e": "x", "a": "n/v", "v": n}}])).await
    };
    for n in 1..=3 {
        write(n).await;
    }
    // A consistent export, and everything that was committed after it.
    let export = server.get(&app, "export").await;
    let checkpoint = &export.lines()[0]["checkpoint"];
    assert_eq!(checkpoint["seq"], 3);
    write(4).await;
    let epoch = checkpoint["epoch"].as_str().unwrap();
    let route = format!("changes?follow=true&after=3&epoch={epoch}");
    let mut followed = Followed::start(&server, &app, &route).await;
    assert_eq!(followed.next_seq().await, 4);
    let heartbeat = followed.next().await.unwrap();
    assert_eq!(heartbeat, json!({"heartbeat": {"epoch": epoch, "seq": 4}}));
    for n in 5..=60 {
        write(n).await;
    }
    for n in 5..=60 {
        assert_eq!(followed.next_seq().await, n);
    }
    let mut limited =
        Followed::start(&server, &app, &format!("changes?follow&limit=2&after=58&epoch={epoch}"))
            .await;
    assert_eq!((limited.next_seq().await, limited.next_seq().await), (59, 60));
    assert_eq!(limited.next().await, None);
    // The body ends; it does not break off.
    let reader = tokio::spawn(async move { while followed.next().await.is_some() {} });
    server.stop().await;
    reader.await.unwrap();
}

/// A follower whose connection is cut goes on after the last commit that it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_cut_off_misses_nothing_and_holds_nothing_up() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let value = "x".repeat(100_000);
    let write =
        async || server.transact(&app, json!([{"set": {"e": "x", "a": "n/v", "v": value}}])).await;
    write().await;
    let mut followed = Followed::start(&server, &app, "changes?follow=true").await;
    let epoch = followed.response.headers()["tercet-epoch"].to_str().unwrap().to_owned();
    assert_eq!(followed.next_seq().await, 1);
    // It does not read on. Writes are taken all the same: nothing waits for it.
    for _ in 0..100 {
        write().await;
    }
    drop(followed);
    let route = format!("changes?follow=true&after=1&epoch={epoch}");
    let mut followed = Followed::start(&server, &app, &route).await;
    for n in 2..=101 {
        assert_eq!(followed.next_seq().await, n);
    }
    drop(followed);
    assert_eq!(server.get(&app, "changes?follow=maybe").await.problem().1, "malformed");
    server.stop().await;
}

/// The connection of an import is killed in the middle of its body: what is durable can be asked
/// for, and the whole sent again adds the rest and changes nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_says_how_far_it_came_and_goes_on() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let progress = async || server.get(&app, "import?id=big").await.ok()["transactions"].clone();
    assert_eq!(progress().await, 0);
    // Two whole transactions and a half, and then nothing more.
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(numbers(25_000))]);
    let body = reqwest::Body::wrap_stream(chunks.chain(futures_util::stream::pending()));
    let request = server.to(Method::POST, &app, "import?id=big").body(body);
    let sending = tokio::spawn(request.send());
    while progress().await != 2 {
        tokio::task::yield_now().await;
    }
    sending.abort();
    let again = server.import(&app, "big", numbers(25_000)).await.ok();
    assert_eq!((&again["applied_before"], &again["transactions"]), (&json!(2), &json!(3)));
    let repeated = server.import(&app, "big", numbers(25_000)).await.ok();
    assert_eq!((&repeated["applied_before"], &repeated["seq"]), (&json!(3), &json!(3)));
    assert_eq!(progress().await, 3);
    assert_eq!(server.rows(&app, "[:find (count ?e) :where [?e :n/v]]").await, json!([[25_000]]));
    let without = server.get(&app, "import").await;
    assert_eq!(without.problem(), (400, "malformed".to_owned()));
    server.stop().await;
}
