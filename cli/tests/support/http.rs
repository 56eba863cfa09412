//! An app of a server, over HTTP.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::process::{ADMIN, ServerProcess};

/// An app with a key that may write.
pub(crate) struct App {
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) client: reqwest::Client,
}

impl App {
    pub(crate) async fn create(server: &ServerProcess) -> App {
        // A connection that is kept may belong to a server that has been killed since.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let url = server.url();
        let admin = async |path: &str, body: Value| {
            let request = client.post(format!("{url}{path}")).bearer_auth(ADMIN).json(&body);
            request.send().await.unwrap().json::<Value>().await.unwrap()
        };
        let app = admin("/v1/admin/apps", json!({"name": "test"})).await;
        let id = app["app"].as_str().unwrap().to_owned();
        let body = json!({"role": "client", "access": "write"});
        let key = admin(&format!("/v1/admin/apps/{id}/keys"), body).await;
        let key = key["key"].as_str().unwrap().to_owned();
        App { url, id, key, client }
    }

    /// A request to a route of the app, with its key.
    pub(crate) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let url = format!("{}/v1/apps/{}/{route}", self.url, self.id);
        self.client.request(method, url).bearer_auth(&self.key)
    }

    /// The text of an answer that has to be one.
    pub(crate) async fn text(&self, request: RequestBuilder) -> String {
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Writes; what is returned from is durable.
    pub(crate) async fn transact(&self, ops: Value) {
        let request = self.request(Method::POST, "transact").json(&json!({"ops": ops}));
        self.text(request).await;
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Value> {
        let request = self.request(Method::POST, "query").json(&json!({"query": query}));
        let mut answer: Value = serde_json::from_str(&self.text(request).await).unwrap();
        serde_json::from_value(answer["rows"].take()).unwrap()
    }
}
