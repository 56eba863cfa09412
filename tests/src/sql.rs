//! A second opinion on recursion: closures counted by SQLite's recursive queries.
//!
//! The naive evaluator is too slow for graphs of real size; an SQL engine that shares nothing
//! with us is not. Only closure is judged here. The database is in memory and gone afterwards.

use tercet_engine::ids::EntityId;

/// What SQLite says about the transitive closure of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// How many pairs (from, to) are connected by a path of at least one edge.
    pub n_pairs: u64,
    /// The nodes that the asked-for node reaches, sorted.
    pub ancestors: Vec<EntityId>,
}

/// The transitive closure of edges (from, to), and what `node` reaches.
///
/// # Errors
/// Those of libSQL.
///
/// # Panics
/// When no runtime can be started.
pub fn closure(edges: &[(EntityId, EntityId)], node: &EntityId) -> Result<Closure, libsql::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without I/O starts").block_on(closure_in_memory(edges, node))
}

async fn closure_in_memory(
    edges: &[(EntityId, EntityId)],
    node: &EntityId,
) -> Result<Closure, libsql::Error> {
    let connection = libsql::Builder::new_local(":memory:").build().await?.connect()?;
    let schema = "CREATE TABLE edge (a TEXT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID; BEGIN";
    connection.execute_batch(schema).await?;
    let insert = connection.prepare("INSERT OR IGNORE INTO edge VALUES (?, ?)").await?;
    for (from, to) in edges {
        insert.execute((from.as_str(), to.as_str())).await?;
        insert.reset();
    }
    connection.execute("COMMIT", ()).await?;

    let pairs = "WITH RECURSIVE reach (a, b) AS (SELECT a, b FROM edge \
                 UNION SELECT reach.a, edge.b FROM reach JOIN edge ON edge.a = reach.b) \
                 SELECT count(*) FROM reach";
    let mut rows = connection.query(pairs, ()).await?;
    let n_pairs = rows.next().await?.map_or(Ok(0), |row| row.get::<u64>(0))?;

    let ancestors = "WITH RECURSIVE reach (b) AS (SELECT b FROM edge WHERE a = ?1 \
                     UNION SELECT edge.b FROM reach JOIN edge ON edge.a = reach.b) \
                     SELECT b FROM reach ORDER BY b";
    let mut rows = connection.query(ancestors, [node.as_str()]).await?;
    let mut ancestors = Vec::new();
    while let Some(row) = rows.next().await? {
        let text = row.get::<String>(0)?;
        ancestors.push(EntityId::new(text).expect("it was stored from an id"));
    }
    Ok(Closure { n_pairs, ancestors })
}
