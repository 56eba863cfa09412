//! The registry in a libSQL file.
//!
//! Names and labels are blobs: text columns cut at NUL. Keys are found by the primary key of
//! their hash.

use std::path::Path;

use libsql::{Row, Value};

use super::Claim;
use super::connection::{Durability, OwnFile, blob_at, damaged, integer, unsigned_at};
use crate::error::StorageError;
use crate::ids::AppId;
use crate::registry::{Access, ApiKey, App, KeyHash, Registry, Role};

const SCHEMA: &[&str] = &[
    "CREATE TABLE app (id BLOB PRIMARY KEY, name BLOB NOT NULL, created_ms INTEGER NOT NULL)
     STRICT, WITHOUT ROWID",
    "CREATE TABLE api_key (
        hash BLOB PRIMARY KEY,
        id BLOB NOT NULL,
        app BLOB NOT NULL REFERENCES app (id),
        role INTEGER NOT NULL CHECK (role IN (0, 1)),
        access INTEGER NOT NULL CHECK (access IN (0, 1)),
        label BLOB NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID",
];

/// Apps and keys in their file.
pub(super) struct LibsqlRegistry {
    file: OwnFile,
}

impl LibsqlRegistry {
    pub(super) fn open(directory: &Path, claim: Claim) -> Result<LibsqlRegistry, StorageError> {
        Ok(LibsqlRegistry { file: OwnFile::open(directory, claim, SCHEMA, Durability::PowerCut)? })
    }

    fn insert<const N: usize>(&mut self, sql: &str, row: [Value; N]) -> Result<(), StorageError> {
        let statement = self.file.prepare(sql)?;
        self.file.commit(1, 0, |file| {
            let n_rows = file.run(&statement, row)?;
            assert_eq!(n_rows, 1, "an insert writes its row or fails");
            Ok(())
        })
    }

    fn select<T>(
        &mut self,
        sql: &str,
        parameters: Vec<Value>,
        read: impl Fn(&Row, &str) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        let name = self.file.name().to_owned();
        let statement = self.file.prepare(sql)?;
        let mut found = Vec::new();
        self.file.query(&statement, parameters, |row| {
            found.push(read(row, &name)?);
            Ok(true)
        })?;
        Ok(found)
    }
}

impl Registry for LibsqlRegistry {
    fn create_app(&mut self, app: &App) -> Result<(), StorageError> {
        if self.find_app(&app.id)?.is_some() {
            return Err(StorageError::App { app: app.id.to_string(), exists: true });
        }
        let row = [text(app.id.as_str()), text(&app.name), number(app.created_ms)];
        self.insert("INSERT INTO app (id, name, created_ms) VALUES (?1, ?2, ?3)", row)
    }

    fn apps(&mut self) -> Result<Vec<App>, StorageError> {
        let sql = "SELECT id, name, created_ms FROM app ORDER BY created_ms, id";
        self.select(sql, Vec::new(), app_of)
    }

    fn find_app(&mut self, app: &AppId) -> Result<Option<App>, StorageError> {
        let sql = "SELECT id, name, created_ms FROM app WHERE id = ?1";
        Ok(self.select(sql, vec![text(app.as_str())], app_of)?.pop())
    }

    fn insert_key(&mut self, key: &ApiKey) -> Result<(), StorageError> {
        if self.find_app(&key.app)?.is_none() {
            return Err(StorageError::App { app: key.app.to_string(), exists: false });
        }
        let role = match key.role {
            Role::Server => 0,
            Role::Client => 1,
        };
        let access = match key.access {
            Access::Read => 0,
            Access::Write => 1,
        };
        let row = [
            Value::Blob(key.hash.as_bytes().to_vec()),
            text(&key.id),
            text(key.app.as_str()),
            Value::Integer(role),
            Value::Integer(access),
            text(&key.label),
            number(key.created_ms),
        ];
        self.insert(
            "INSERT INTO api_key (hash, id, app, role, access, label, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            row,
        )
    }

    fn find_key(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>, StorageError> {
        let sql = "SELECT id, app, role, access, label, created_ms FROM api_key WHERE hash = ?1";
        let parameters = vec![Value::Blob(hash.as_bytes().to_vec())];
        Ok(self.select(sql, parameters, |row, file| key_of(*hash, row, file))?.pop())
    }
}

fn text(text: &str) -> Value {
    Value::Blob(text.as_bytes().to_vec())
}

fn number(number: u64) -> Value {
    Value::Integer(integer(number))
}

fn text_at(row: &Row, column: i32, file: &str) -> Result<String, StorageError> {
    String::from_utf8(blob_at(row, column, file)?)
        .map_err(|_| damaged(file, None, "a text is not UTF-8"))
}

fn app_at(row: &Row, column: i32, file: &str) -> Result<AppId, StorageError> {
    AppId::new(&text_at(row, column, file)?).map_err(|_| damaged(file, None, "an app id is none"))
}

fn app_of(row: &Row, file: &str) -> Result<App, StorageError> {
    Ok(App {
        id: app_at(row, 0, file)?,
        name: text_at(row, 1, file)?,
        created_ms: unsigned_at(row, 2, file)?,
    })
}

fn key_of(hash: KeyHash, row: &Row, file: &str) -> Result<ApiKey, StorageError> {
    Ok(ApiKey {
        hash,
        id: text_at(row, 0, file)?,
        app: app_at(row, 1, file)?,
        role: match unsigned_at(row, 2, file)? {
            0 => Role::Server,
            1 => Role::Client,
            _ => return Err(damaged(file, None, "a role is none")),
        },
        access: match unsigned_at(row, 3, file)? {
            0 => Access::Read,
            1 => Access::Write,
            _ => return Err(damaged(file, None, "an access right is none")),
        },
        label: text_at(row, 4, file)?,
        created_ms: unsigned_at(row, 5, file)?,
    })
}
