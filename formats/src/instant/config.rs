//! `config.json`: which keys are links and dates, and how many entities there should be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What we read and write of it. Unknown keys are left alone: it is another system's file.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Config {
    /// Entities of each table.
    #[serde(default)]
    pub(super) counts: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) schema: Option<Schema>,
    #[serde(default)]
    pub(super) rules: Json,
    #[serde(default, rename = "emailTemplates")]
    pub(super) email_templates: Json,
    #[serde(default)]
    pub(super) webhooks: Json,
    /// How to read what Instant has no form for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tercet: Option<Extension>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Schema {
    #[serde(default)]
    pub(super) entities: BTreeMap<String, Table>,
    #[serde(default)]
    pub(super) links: BTreeMap<String, Link>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Table {
    #[serde(default)]
    pub(super) attrs: BTreeMap<String, Attr>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attr {
    #[serde(default)]
    pub(super) value_type: String,
    #[serde(default)]
    pub(super) config: Json,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Link {
    pub(super) forward: End,
    pub(super) reverse: End,
}

/// One end of a link: the table it is a key of, and the key.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct End {
    pub(super) on: String,
    pub(super) label: String,
    #[serde(default)]
    pub(super) has: String,
}

/// Keys whose values are `{"set": […], "add": […]}`, each value as our JSON writes it.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Extension {
    /// Table, key, field.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, BTreeMap<String, String>>,
}

/// How the values of a key are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading<'a> {
    Plain,
    Date,
    Link,
    /// As the extension says, into this field.
    Tagged(&'a str),
}

impl Config {
    pub(super) fn reading(&self, table: &str, key: &str) -> Reading<'_> {
        let fields = self.tercet.as_ref().and_then(|extension| extension.fields.get(table));
        if let Some(field) = fields.and_then(|fields| fields.get(key)) {
            return Reading::Tagged(field);
        }
        let Some(schema) = &self.schema else { return Reading::Plain };
        let attr = schema.entities.get(table).and_then(|table| table.attrs.get(key));
        if let Some(attr) = attr {
            return if attr.value_type == "date" { Reading::Date } else { Reading::Plain };
        }
        let is_end = |end: &End| end.on == table && end.label == key;
        let is_link = schema.links.values().any(|it| is_end(&it.forward) || is_end(&it.reverse));
        if is_link { Reading::Link } else { Reading::Plain }
    }
}
