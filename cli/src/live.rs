//! Live queries as this command uses them: the Rust client, its results as the JSON that tables
//! and lines are made of, and its troubles told to a person.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::{Stream, StreamExt};
use serde_json::Value as Json;
use tercet_client::{
    Change, Client, ClientConfig, ClientError, ClientStatus, Status, SubscribeOptions,
    Subscription, Trouble, Write,
};
use tercet_engine::answer::{Answer, AnswerRows, Output, Row};
use tercet_engine::db::RowsDelta;
use tercet_engine::fact::Op;
use tercet_sync::wire_row::{WireOutput, to_wire};

use crate::failure::Failure;
use crate::output::tell;
use crate::query_text::Checked;

/// What trying again cannot mend.
const FINAL_CODES: [&str; 3] = ["unauthenticated", "forbidden", "protocol_version"];

/// A client of one app.
pub(crate) struct LiveClient(Client);

impl LiveClient {
    /// Starts a client, which connects as soon as it can.
    ///
    /// # Errors
    /// When the address is none.
    pub(crate) fn start(url: &str, app: &str, key: &str) -> Result<LiveClient> {
        Ok(LiveClient(Client::connect(ClientConfig::new(url, app, key))?))
    }

    /// Waits until the client is connected and has nothing left to do.
    ///
    /// # Errors
    /// When the server refuses it.
    pub(crate) async fn synced(&self) -> Result<()> {
        let mut statuses = self.0.status_changes();
        let mut status = self.0.status();
        loop {
            if matches!(status.connection, Status::Synced(_)) {
                return Ok(());
            }
            check_trouble(&status)?;
            status = statuses.next().await.context("the client has ended")?;
        }
    }

    /// Subscribes.
    ///
    /// # Errors
    /// When the inputs do not fit, or the query cannot be live.
    pub(crate) async fn subscribe(&self, query: &Checked, inputs: &[Json]) -> Result<LiveQuery> {
        let inputs = query.inputs(inputs)?;
        let options = SubscribeOptions::default();
        let subscription = self.0.subscribe(&query.query, inputs, options).await;
        let subscription = subscription.map_err(failure)?;
        let statuses = Box::pin(self.0.status_changes());
        let told = Told::default();
        Ok(LiveQuery { subscription, statuses, told, shown: None })
    }

    /// Writes; when this returns, the write is on its way.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub(crate) async fn transact(&self, ops: Vec<Op>) -> Result<Write> {
        Ok(self.0.transact(ops).await.map_err(failure)?)
    }
}

/// A live query. It shows complete results only: what a client holds while it is still being
/// brought up to date could differ from every state that the server ever had.
pub(crate) struct LiveQuery {
    subscription: Subscription,
    statuses: Pin<Box<dyn Stream<Item = ClientStatus> + Send>>,
    told: Told,
    /// Changes may be passed over in between, so their deltas do not add up to what the reader
    /// sees: it is compared.
    shown: Option<Arc<Answer>>,
}

/// What a live query shows now, and what changed since it was last shown.
#[derive(Debug)]
pub(crate) struct Update {
    /// The whole result.
    pub(crate) answer: Arc<Answer>,
    /// Rows that came; all of them with the first update.
    pub(crate) added: Vec<Row>,
    /// Rows that went.
    pub(crate) removed: Vec<Row>,
    /// Whether this is the first update.
    pub(crate) is_first: bool,
}

impl LiveQuery {
    /// Waits for the next complete result that differs from the one before. Meanwhile it tells
    /// the person what keeps the client from its work.
    ///
    /// # Errors
    /// When the server refuses the client or the subscription.
    pub(crate) async fn next(&mut self) -> Result<Update> {
        loop {
            tokio::select! {
                change = self.subscription.next() => {
                    let Some(change) = change else { bail!("the subscription has ended") };
                    if let Some(update) = self.take(change.map_err(failure)?) {
                        return Ok(update);
                    }
                }
                Some(status) = self.statuses.next() => {
                    check_trouble(&status)?;
                    self.told.tell(&status);
                }
            }
        }
    }

    /// The update that a change makes, if it is to be shown.
    fn take(&mut self, change: Change) -> Option<Update> {
        if !change.complete {
            return None;
        }
        let answer = change.answer;
        let before = self.shown.replace(Arc::clone(&answer));
        let (added, removed) = match &before {
            Some(before) => difference(&before.rows, &answer.rows),
            None => (answer.rows.to_vec(), Vec::new()),
        };
        let is_first = before.is_none();
        let is_news = is_first || !added.is_empty() || !removed.is_empty();
        is_news.then_some(Update { answer, added, removed, is_first })
    }
}

/// What the person knows of the connection: each trouble is told once, however often it is met.
#[derive(Debug, Default)]
struct Told {
    trouble: Option<String>,
}

impl Told {
    fn tell(&mut self, status: &ClientStatus) {
        if let Some(text) = self.news(status) {
            tell(&text);
        }
    }

    fn news(&mut self, status: &ClientStatus) -> Option<String> {
        match &status.trouble {
            Some(trouble) if self.trouble.as_ref() == Some(&trouble.message) => None,
            Some(trouble) => {
                self.trouble = Some(trouble.message.clone());
                Some(format!("waiting for the server: {}", trouble.message))
            }
            None if matches!(status.connection, Status::Synced(_)) => {
                self.trouble.take().map(|_| "connected again".to_owned())
            }
            None => None,
        }
    }
}

/// Rows that came and went from one result to another.
fn difference(before: &AnswerRows, after: &AnswerRows) -> (Vec<Row>, Vec<Row>) {
    let delta = RowsDelta::between(before, after).unwrap_or_default();
    (delta.added, delta.removed)
}

/// Fails when the client meets what trying again cannot mend.
fn check_trouble(status: &ClientStatus) -> Result<(), Failure> {
    match &status.trouble {
        Some(Trouble { code, message }) if FINAL_CODES.contains(&code.as_str()) => {
            let failure = Failure::new(message).with_code(code);
            Err(failure.with_hint("check --app and --key (TERCET_APP, TERCET_KEY)"))
        }
        _ => Ok(()),
    }
}

fn failure(error: ClientError) -> Failure {
    Failure::new(error.to_string()).with_code(error.code())
}

/// The rows as JSON, as a server would send them over HTTP.
pub(crate) fn json_rows(rows: &[Row]) -> Vec<Vec<Json>> {
    rows.iter().map(|row| row.iter().map(json_cell).collect()).collect()
}

fn json_cell(output: &Output) -> Json {
    // A tree too deep to travel can only be one that this client pulled itself.
    let wire = to_wire(vec![output.clone()]).ok().and_then(|mut row| row.pop());
    let json = wire.and_then(|cell| match cell {
        WireOutput::Value(value) => serde_json::to_value(value).ok(),
        WireOutput::List(values) => serde_json::to_value(values).ok(),
        WireOutput::Tree(text) => serde_json::from_str(&text).ok(),
    });
    json.unwrap_or_else(|| Json::from("(a tree too deep to show)"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tercet_client::{ClientStatus, Status, Trouble};
    use tercet_engine::answer::{AnswerRows, Output, Row};
    use tercet_engine::ids::{Checkpoint, Epoch, Seq};
    use tercet_engine::value::Value;

    use super::{Told, difference, json_rows};

    fn row(text: &str) -> Row {
        vec![Output::Value(Value::from(text))]
    }

    fn status(connection: Status, trouble: Option<&str>) -> ClientStatus {
        let trouble =
            trouble.map(|message| Trouble { code: "x".to_owned(), message: message.to_owned() });
        ClientStatus { connection, n_unanswered: 0, trouble }
    }

    #[test]
    fn a_trouble_is_told_once_and_its_end_too() {
        let synced = Status::Synced(Checkpoint { epoch: Epoch(1), seq: Seq(1) });
        let mut told = Told::default();
        assert_eq!(told.news(&status(synced, None)), None);
        let refused = status(Status::Offline, Some("refused"));
        assert_eq!(told.news(&refused).as_deref(), Some("waiting for the server: refused"));
        assert_eq!(told.news(&refused), None);
        assert_eq!(told.news(&status(Status::Connecting, None)), None);
        assert_eq!(told.news(&refused), None);
        assert_eq!(told.news(&status(synced, None)).as_deref(), Some("connected again"));
        assert_eq!(told.news(&status(synced, None)), None);
    }

    #[test]
    fn a_difference_is_what_came_and_what_went() {
        let rows = |texts: [&str; 2]| AnswerRows::from(texts.map(row).to_vec());
        let (added, removed) = difference(&rows(["a", "b"]), &rows(["b", "c"]));
        assert_eq!((added, removed), (vec![row("c")], vec![row("a")]));
    }

    #[test]
    fn cells_are_the_json_of_the_wire() {
        let list = Output::List(vec![Value::int(1), Value::int(2)]);
        assert_eq!(json_rows(&[vec![row("a").remove(0), list]]), [[json!("a"), json!([1, 2])]]);
    }
}
