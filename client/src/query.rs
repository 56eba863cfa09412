//! One query and its answer, from the server or from what is held.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use tercet_engine::answer::Answer;
use tercet_engine::db::Query;
use tercet_engine::program::raw::Input;
use tercet_query_lang::{Inputs, IntoQuery};
use tercet_sync::Status;
use tercet_sync::message::Mode;

use crate::client::Client;
use crate::error::ClientError;

/// The answer of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryAnswer {
    /// The answer.
    pub answer: Arc<Answer>,
    /// Its confirmed part equals the server's answer.
    pub complete: bool,
    /// Own writes may be in it that the server has not accepted yet.
    pub pending: bool,
}

/// A query to be awaited.
#[must_use = "a query runs when it is awaited"]
pub struct QueryRequest {
    client: Client,
    query: Result<Query, ClientError>,
    inputs: Vec<Input>,
    is_local: bool,
}

impl QueryRequest {
    pub(crate) fn new(client: &Client, query: impl IntoQuery, inputs: Inputs) -> QueryRequest {
        let (client, query) = (client.clone(), query.into_query().map_err(ClientError::from));
        QueryRequest { client, query, inputs: inputs.0, is_local: false }
    }

    /// Answers from what is held here, connected or not.
    pub fn local(self) -> QueryRequest {
        QueryRequest { is_local: true, ..self }
    }

    async fn run(self) -> Result<QueryAnswer, ClientError> {
        let query = self.query?;
        if self.is_local || self.client.status().connection == Status::Offline {
            return self.client.query_held(&query, self.inputs).await;
        }
        match ask(&self.client, &query, self.inputs.clone()).await? {
            Some(answer) => Ok(answer),
            None => self.client.query_held(&query, self.inputs).await,
        }
    }
}

/// Subscribes until the answer is complete; `None` when the connection is lost before.
async fn ask(
    client: &Client,
    query: &Query,
    inputs: Vec<Input>,
) -> Result<Option<QueryAnswer>, ClientError> {
    let mut statuses = client.status_changes();
    let mut subscription = client.watch(query.clone(), inputs, Mode::Auto, true).await?;
    // Lost between the look at the status and the subscription: no change would tell.
    if client.status().connection == Status::Offline {
        return Ok(None);
    }
    loop {
        tokio::select! {
            change = subscription.next() => {
                let change = change.ok_or(ClientError::Closed)??;
                if change.complete {
                    let crate::Change { answer, complete, pending, .. } = change;
                    return Ok(Some(QueryAnswer { answer, complete, pending }));
                }
            }
            status = statuses.next() => {
                let status = status.ok_or(ClientError::Closed)?;
                if status.connection == Status::Offline {
                    return Ok(None);
                }
            }
        }
    }
}

impl IntoFuture for QueryRequest {
    type Output = Result<QueryAnswer, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
