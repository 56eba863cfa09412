//! Opening a tenant: its log is replayed in batches, then its task is started.

use std::sync::Arc;

use tercet_engine::ids::ReplicaId;
use tercet_engine::limits::Budget;
use tercet_storage::{Ordinal, StoragePool, TenantId, TenantLog};
use tercet_sync::{Recovery, Tenant, TenantConfig};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use super::task::Task;
use super::{LoadError, Place, TenantHandle};
use crate::clock::{self, Deadline};
use crate::limits::ServerLimits;
use crate::storage;

/// Replays a tenant and starts its task.
pub(super) async fn start(
    pool: &StoragePool,
    place: Place,
    limits: &Arc<ServerLimits>,
    stop: watch::Receiver<bool>,
) -> Result<TenantHandle, LoadError> {
    let tenant = place.tenant.clone();
    let span = tracing::info_span!("tenant_open", %tenant);
    async {
        let log = storage::open(pool, &tenant).await?;
        let deadline = Deadline::after(limits.query_time);
        let (state, n_records) = replay(&tenant, &log, limits, &deadline).await?;
        tracing::info!(n_records, "tenant is open");
        let (commands, inbox) = mpsc::channel(limits.tenant_commands_max);
        let epoch = log.epoch();
        let (published, head) = watch::channel(state.snapshot().1.seq);
        let task = Task::new(place, log, inbox, state, deadline, Arc::clone(limits), published);
        tokio::spawn(task.run(stop).instrument(tracing::info_span!("tenant", %tenant)));
        Ok(TenantHandle { commands, epoch, head })
    }
    .instrument(span)
    .await
}

async fn replay(
    tenant: &TenantId,
    log: &TenantLog,
    limits: &ServerLimits,
    deadline: &Deadline,
) -> Result<(Tenant, u64), LoadError> {
    let mut recovery = Recovery::new(TenantConfig {
        epoch: log.epoch(),
        replica: ReplicaId(u64::from_le_bytes(clock::random_bytes())),
        seed: clock::random_bytes(),
        drift_ms_max: limits.drift_ms_max,
        limits: limits.sync.clone(),
        budget: Budget {
            rows: Some(limits.live_work_rows_max),
            bytes: Some(limits.query_bytes_max),
            rounds: None,
            interrupt: Some(deadline.interrupt()),
        },
    });
    let bytes_max = limits.replay_bytes;
    let mut after = Ordinal(0);
    loop {
        let batch = storage::with_log(log, move |log| log.read(after, bytes_max)).await?;
        if batch.records.is_empty() {
            break;
        }
        after = batch.last;
        // Merging a few MiB takes long enough to keep it off the tasks that serve others.
        let step = tokio::task::spawn_blocking(move || {
            batch.records.into_iter().try_for_each(|record| recovery.replay(record))?;
            Ok(recovery)
        });
        recovery = match step.await {
            Ok(Ok(recovery)) => recovery,
            Ok(Err(error)) => return Err(LoadError::Recovery { tenant: tenant.clone(), error }),
            Err(_) => return Err(LoadError::Panicked { tenant: tenant.clone() }),
        };
    }
    let mut tenant = recovery.finish();
    let origin = std::time::Instant::now();
    tenant.set_live_clock(Arc::new(move || origin.elapsed()));
    tenant.set_resume_limits(limits.resume);
    Ok((tenant, after.0))
}
