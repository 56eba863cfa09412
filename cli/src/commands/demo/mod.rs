//! `tercet demo`: the whole system in one minute, over real data, with nothing prepared.
//!
//! It is a server in this process and three ordinary clients of it: one that imports over HTTP,
//! one that subscribes to a recursive query, one that writes. Every step is checked against an
//! answer computed without the database ([`story`]), so that `--once` is also a test of a build.
//! What can be done next is printed as commands ([`next_steps`]).

mod next_steps;
mod story;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value as Json;
use tercet_engine::answer::Row;
use tercet_engine::fact::Effect;

use crate::api::{App, Server};
use crate::commands::import::lines_of;
use crate::hosting::{Hosting, ended_by_user};
use crate::live::{LiveClient, LiveQuery, json_rows};
use crate::output::print;
use crate::progress::{grouped, rate};
use crate::query_text;
use crate::table;

use self::story::World;

/// A step that takes longer than this has hung.
const STEP_LIMIT: Duration = Duration::from_secs(60);

/// Options of `tercet demo`.
#[derive(Debug, Args)]
#[command(about = "Watch a live query over real data change, because another client wrote")]
#[command(long_about = "\
Watch a live query over real data change, because another client wrote.

This starts a server on a free port of this machine, with embedded storage in a directory of its \
own that is removed at the end. It makes an app, imports the countries of the world with their \
borders, capitals, languages and currencies over HTTP, and subscribes to a recursive query: all \
countries that can be reached by land from Portugal. Then a second client writes one border, and \
the new rows arrive, with the time that took. The server keeps running until Ctrl-C, and the \
commands to try next are printed, ready to be pasted.")]
#[command(after_long_help = "\
Examples:
  tercet demo
  tercet demo --once                               the same, and exit: 0 if all was as it should be
  tercet demo --listen 127.0.0.1:7878 --data demo  on a port and in a directory of your choice")]
pub(crate) struct Options {
    /// End after the change has arrived; fail if anything was not as it should be
    #[arg(long)]
    once: bool,
    /// Where to listen; by default on a free port of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
    /// Keep the data in this directory, instead of one that is removed at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// When a step fails, or does not give what it should.
pub(crate) async fn run(options: Options) -> Result<()> {
    let temporary = match options.data {
        Some(_) => None,
        None => Some(temporary_directory()?),
    };
    let data = match (&options.data, &temporary) {
        (Some(data), _) => data.as_path(),
        (None, Some(directory)) => directory.path(),
        (None, None) => unreachable!("there is a temporary directory when none is given"),
    };
    let hosting = Hosting::start(&options.listen, data, None).await?;
    let outcome = tell_story(&hosting, options.once).await;
    hosting.stop().await?;
    outcome
}

fn temporary_directory() -> Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("tercet-demo-").tempdir();
    directory.context("cannot make a directory for the data")
}

async fn tell_story(hosting: &Hosting, once: bool) -> Result<()> {
    let url = hosting.url();
    let data = hosting.data().display();
    print(&format!("server   {url}, embedded storage in {data}"))?;
    let (app_id, key) = make_app(&url, hosting.admin_token()).await?;
    print(&format!("app      {app_id}, made over HTTP with the admin token"))?;
    let world = World::load();
    import(&Server::new(&url)?.app(&app_id, &key), &world).await?;

    let reader = LiveClient::start(&url, &app_id, &key)?;
    let query = query_text::check(&Json::from(story::QUERY), None)?;
    let mut live = reader.subscribe(&query, &[Json::from(story::START)]).await?;
    print(&format!("\nlive     which countries can be reached by land from {}?", story::START))?;
    print(&indented(story::QUERY))?;
    let before = world.reachable(&[]);
    let shown = show_first_result(&mut live).await?;
    ensure!(shown == before, "the first result is wrong: {}", difference(&before, &shown));

    let writer = LiveClient::start(&url, &app_id, &key)?;
    within("the second client", writer.synced()).await?;
    let delivery = write_and_receive(&mut live, &world, &writer).await?;
    print(&format!(
        "time     {:.2} ms from the second client's write to the first client's new result",
        delivery.as_secs_f64() * 1_000.0
    ))?;
    if once {
        return print("\nall of it was as it should be");
    }
    print("\nThe server keeps running until Ctrl-C. In another terminal, from this directory:")?;
    print(&next_steps::text(&url, &app_id, &key)?)?;
    ended_by_user().await
}

/// Makes the demo's app and a key that may write.
async fn make_app(url: &str, admin_token: &str) -> Result<(String, String)> {
    let admin = Server::new(url)?.admin(admin_token);
    let app = admin.create_app("demo").await?;
    let key = admin.create_key(&app, "server", "write", "demo").await?;
    Ok((app, key))
}

async fn import(app: &App, world: &World) -> Result<()> {
    let start = Instant::now();
    let report = app.import("world", lines_of(world.ops()).into()).await?;
    let time = start.elapsed();
    let n_sent = world.ops().len() as u64;
    ensure!(report.lines == n_sent, "{} of {n_sent} lines were imported", report.lines);
    print(&format!(
        "import   {} facts about {} countries over HTTP in {} ms, {}",
        grouped(report.lines),
        world.n_countries(),
        time.as_millis(),
        rate(report.lines, time),
    ))
}

/// Waits for the first result, prints it in short, and gives its names.
async fn show_first_result(live: &mut LiveQuery) -> Result<BTreeSet<String>> {
    let names = names(&within("the first result", live.next()).await?.answer.rows.to_vec());
    let (Some(first), Some(last)) = (names.first(), names.last()) else {
        bail!("the first result is empty");
    };
    print(&format!("result   {} countries, from {first} to {last}", names.len()))?;
    Ok(names)
}

/// Lets a second client write, prints what the first receives, and gives the time between.
async fn write_and_receive(
    live: &mut LiveQuery,
    world: &World,
    writer: &LiveClient,
) -> Result<Duration> {
    let tunnel = world.tunnel()?;
    let (before, after) = (world.reachable(&[]), world.reachable(&tunnel));
    print(&format!("\nwrite    {}", story::WRITE))?;
    let start = Instant::now();
    let write = writer.transact(tunnel).await?;
    let update = within("the new result", live.next()).await?;
    let delivery = start.elapsed();
    for row in json_rows(&update.removed) {
        print(&format!("delta    - {}", table::line(&row)))?;
    }
    for row in json_rows(&update.added) {
        print(&format!("delta    + {}", table::line(&row)))?;
    }
    let accepted = within("the acknowledgement", async { Ok(write.accepted().await?) }).await?;
    let is_applied = accepted.effects.iter().all(|effect| *effect == Effect::Applied);
    ensure!(is_applied, "the write was not applied: {:?}", accepted.effects);
    let shown = names(&update.answer.rows.to_vec());
    ensure!(shown == after, "the new result is wrong: {}", difference(&after, &shown));
    let (new, added) = (after.difference(&before).cloned().collect(), names(&update.added));
    ensure!(added == new, "the delta is wrong: {}", difference(&new, &added));
    ensure!(update.removed.is_empty(), "{} rows went, and none should", update.removed.len());
    Ok(delivery)
}

/// Fails when a step hangs.
async fn within<Output>(what: &str, step: impl Future<Output = Result<Output>>) -> Result<Output> {
    let limited = tokio::time::timeout(STEP_LIMIT, step).await;
    limited.with_context(|| format!("{what} did not come within {STEP_LIMIT:?}"))?
}

/// The one column of the story's query.
fn names(rows: &[Row]) -> BTreeSet<String> {
    let rows = json_rows(rows);
    rows.iter().filter_map(|row| row.first()?.as_str()).map(str::to_owned).collect()
}

/// What is missing and what is too much.
fn difference(expected: &BTreeSet<String>, shown: &BTreeSet<String>) -> String {
    let missing: Vec<_> = expected.difference(shown).collect();
    let surplus: Vec<_> = shown.difference(expected).collect();
    format!("missing {missing:?}, too much {surplus:?}")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("         {line}")).collect::<Vec<_>>().join("\n")
}
