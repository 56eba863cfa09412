//! Transact and query: what was written is found, in every form, within a budget.

use std::time::Duration;

use serde_json::{Value, json};
use tercet_server::{ServerConfig, StorageChoice};

use crate::harness::{ADMIN, App, TestServer};

async fn with_people(server: &TestServer) -> App {
    let app = server.app().await;
    let written = server
        .transact(
            &app,
            json!([
                {"set": {"e": "ann", "a": "user/name", "v": "Ann"}},
                {"set": {"e": "ann", "a": "user/age", "v": 41.5}},
                {"set": {"e": "bob", "a": "user/name", "v": "Bob \u{0} Ö"}},
                {"set": {"e": "bob", "a": "user/boss", "v": {"$ref": "ann"}}},
                {"add": {"e": "bob", "a": "user/tag", "v": {"$date": "2024-01-15T10:30:00.000Z"}}},
                {"add": {"e": "bob", "a": "user/tag", "v": {"$int": "9007199254740993"}}},
            ]),
        )
        .await;
    assert_eq!(written["seq"], 1);
    assert_eq!(written["effects"], json!(vec!["applied"; 6]));
    app
}

#[tokio::test]
async fn what_was_written_is_found() {
    let server = TestServer::in_memory().await;
    let app = with_people(&server).await;
    let answer = server
        .post(
            &app,
            "query",
            json!({"query": "[:find ?name ?boss :where [?e :user/name ?name] [?e :user/boss ?b]
                              [?b :user/name ?boss]]"}),
        )
        .await
        .ok();
    assert_eq!(answer["rows"], json!([["Bob \u{0} Ö", "Ann"]]));
    assert_eq!(answer["columns"], json!(["?name", "?boss"]));
    assert_eq!(answer["form"], "relation");
    assert_eq!(answer["warnings"], json!([]));
    assert_eq!(answer["checkpoint"]["seq"], 1);
    assert_eq!(answer["checkpoint"]["epoch"].as_str().unwrap().len(), 16);
    let tags = server.rows(&app, "[:find ?t :where [_ :user/tag ?t]]").await;
    let expected =
        [json!([{"$int": "9007199254740993"}]), json!([{"$date": "2024-01-15T10:30:00.000Z"}])];
    assert_eq!(tags, json!(expected));
    server.stop().await;
}

#[tokio::test]
async fn the_json_form_rules_and_inputs_are_taken() {
    let server = TestServer::in_memory().await;
    let app = with_people(&server).await;
    let json_form = json!({
        "query": {"find": ["?age"], "form": "scalar", "in": ["?name"],
                  "where": [["?e", "user/name", "?name"], ["?e", "user/age", "?age"]]},
        "inputs": ["Ann"],
    });
    let answer = server.post(&app, "query", json_form).await.ok();
    assert_eq!((&answer["rows"], &answer["form"]), (&json!([[41.5]]), &json!("scalar")));
    let with_rules = json!({
        "query": "[:find ?n :in % :where (led ?e) [?e :user/name ?n]]",
        "rules": "[[(led ?e) [?e :user/boss _]]]",
    });
    let answer = server.post(&app, "query", with_rules).await.ok();
    assert_eq!(answer["rows"], json!([["Bob \u{0} Ö"]]));
    let pulled = server
        .rows(
            &app,
            "[:find (pull ?e [:user/name {:user/boss [:user/name]}]) :where [?e :user/boss]]",
        )
        .await;
    assert_eq!(pulled[0][0]["user/boss"]["user/name"], "Ann", "{pulled}");
    server.stop().await;
}

#[tokio::test]
async fn a_query_that_is_none_is_told_where() {
    let server = TestServer::in_memory().await;
    let app = with_people(&server).await;
    for (body, code) in [
        (json!({"query": "[:find ?n :where [?e :user/name ?n]"}), "query_"),
        (json!({"query": "[:find ?age :where [?e :user/name ?n]]"}), "query_"),
        (json!({"query": {"find": ["?n"], "were": []}}), "query_"),
        (json!({"query": "[:find ?n :in ?e :where [?e :user/name ?n]]"}), "query_input"),
        (json!({"query": 5}), "query_"),
        (json!({}), "malformed"),
        (json!({"query": "[:find ?e :where [?e :a/b]]", "extra": 1}), "malformed"),
    ] {
        let answer = server.post(&app, "query", body).await;
        let (status, found) = answer.problem();
        assert!(status == 400 && found.starts_with(code), "{answer:?}");
        let has_errors =
            answer.json()["errors"].as_array().is_some_and(|errors| !errors.is_empty());
        assert_eq!(has_errors, code != "malformed", "{answer:?}");
    }
    let unknown = json!({"query": "[:find ?n :where [?e :user/nam ?n]]"});
    let answer = server.post(&app, "query", unknown).await.ok();
    assert!(answer["warnings"][0].as_str().unwrap().contains("user/name"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_query_over_its_budget_is_stopped() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.query_rows_max = 100;
    config.limits.query_work_rows_max = 100_000;
    let server = TestServer::start_with(config.clone()).await;
    let app = with_numbers(&server).await;
    let product = |n: usize| -> Value {
        let names = ["?a", "?b", "?c", "?d"];
        let patterns: String = names[..n].iter().map(|name| format!("[_ :n/v {name}]")).collect();
        json!({"query": format!("[:find {} :where {patterns}]", names[..n].join(" "))})
    };
    assert_eq!(server.post(&app, "query", product(1)).await.status, 200);
    for n in [2, 4] {
        let answer = server.post(&app, "query", product(n)).await;
        assert_eq!(answer.problem(), (422, "query_over_budget".to_owned()), "{n}");
    }
    server.stop().await;
    config.limits.query_work_rows_max = u64::MAX;
    config.limits.query_time = Duration::ZERO;
    let server = TestServer::start_with(config).await;
    let app = with_numbers(&server).await;
    let answer = server.post(&app, "query", product(3)).await;
    assert_eq!(answer.problem(), (422, "query_stopped".to_owned()));
    let document = answer.json();
    assert!(document["detail"].as_str().unwrap().contains("clause ["), "{document}");
    assert!(document["errors"][0]["location"]["text"]["line"].is_u64(), "{document}");
    server.stop().await;
}

#[tokio::test]
async fn a_query_is_explained_and_profiled() {
    let server = TestServer::in_memory().await;
    let app = with_numbers(&server).await;
    let query = "[:find ?e :where [?e :n/v 1]]";
    let explained = server.post(&app, "query", json!({"query": query, "explain": true})).await;
    let explained = explained.ok();
    let step = &explained["profile"]["query"]["steps"][0];
    assert_eq!(step["why"], "about 1 facts have this value");
    assert!(step["ran"].is_null() && explained["rows"].is_null(), "{explained}");
    let live = &explained["live"];
    assert_eq!((&live["tier"], live["deltas"].as_array().unwrap().len()), (&json!("delta"), 1));
    let limited = json!({"query": "[:find ?e :where [?e :n/v] :limit 3]", "explain": true});
    let limited = server.post(&app, "query", limited).await.ok();
    assert_eq!(limited["live"]["refused"]["code"], "query_live_limit", "{limited}");
    let profiled = server.post(&app, "query", json!({"query": query, "profile": true})).await;
    let profiled = profiled.ok();
    assert_eq!(profiled["rows"].as_array().unwrap().len(), 1);
    let ran = &profiled["profile"]["query"]["steps"][0]["ran"];
    assert_eq!(ran["rows_out"], 1);
    assert!(ran["time_ns"].is_u64(), "{profiled}");
    let both = json!({"query": query, "profile": true, "explain": true});
    assert_eq!(server.post(&app, "query", both).await.problem().0, 400);
    server.stop().await;
}

/// Each of these is few rows that take more and more bytes: the budget counts those as well.
#[tokio::test]
async fn trees_lists_and_wide_rows_count_against_the_budget() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.query_bytes_max = 4 << 20;
    // None of them may need the clock to be stopped.
    config.limits.query_time = Duration::from_secs(600);
    let server = TestServer::start_with(config).await;
    let app = with_numbers(&server).await;
    let link = |n: u64| {
        let to = |m: u64| json!({"add": {"e": format!("n{n}"), "a": "n/to", "v": {"$ref": format!("n{m}")}}});
        (0..50).map(to).collect::<Vec<Value>>()
    };
    server.transact(&app, (0..50).flat_map(link).collect()).await;
    let recursive = "[:find (pull ?e [{:n/to 5}]) :where [?e :n/v 1]]";
    let nested = "[:find (pull ?e [* {:n/to [* {:n/to [* {:n/to [*]}]}]}]) :where [?e :n/v 1]]";
    let lists = format!("[:find {} :where [?e :n/to ?v]]", "(distinct ?v) ".repeat(4_000));
    let columns: String = (0..400).map(|n| format!(" ?v{n}")).collect();
    let wide: String = (0..400).map(|n| format!("[?e :n/v ?v{n}]")).collect();
    let wide = format!("[:find ?f {columns} :where [?e :n/to ?f] {wide}]");
    for query in [recursive, nested, &lists, &wide] {
        let answer = server.post(&app, "query", json!({"query": query})).await;
        let start = &query[..40];
        assert_eq!(answer.problem(), (422, "query_over_budget".to_owned()), "{start}");
    }
    server.stop().await;
}

async fn with_numbers(server: &TestServer) -> App {
    let app = server.app().await;
    let op = |n: u64| json!({"set": {"e": format!("n{n}"), "a": "n/v", "v": n}});
    server.transact(&app, (0..50).map(op).collect()).await;
    app
}
