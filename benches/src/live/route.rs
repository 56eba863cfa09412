//! One write among 100,000 subscriptions: what it costs, how that grows with their number, what a
//! write costs that touches nobody, and registering them.

use std::time::Duration;

use anyhow::{Result, ensure};
use tercet_engine::limits::Budget;
use tercet_engine::store::Store;

use super::shapes::{FAMILIES, subscriptions};
use super::tasks::Tasks;
use super::traffic::Traffic;
use super::watch::{Cost, Effort, Watch};
use super::write::{entity, set};
use crate::data::store_of;
use crate::measure::Took;
use crate::row::{Better, Row};
use crate::{Context, Scale, Wanted};

/// Ids of the rows.
pub const IDS: &[&str] =
    &["live.route.100k", "live.route.p99", "live.route.growth", "live.miss", "live.register"];

/// How many tasks there are.
pub const N_TASKS: usize = 100_000;
/// Subscriptions of each kind, where they are many; where they are few, a hundredth.
const N_EACH: usize = 1_000;

/// Measures all of them: they share what is registered.
///
/// # Errors
/// When something cannot be subscribed.
pub fn run(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let scale = context.scale;
    let tasks = Tasks::new(scale.of(N_TASKS));
    let store = store_of(&tasks.ops());
    let n_each = scale.of(N_EACH);
    let (mut many, registered) = Crowd::register(&tasks, &store, n_each)?;
    let mut rows = vec![registered];
    let cost = many.any(scale);
    let data = format!(
        "{}; {} subscriptions, 100 shapes, {}",
        facts(&store),
        many.n_subscriptions,
        many.watch.tiers()
    );
    rows.push(cost.row(IDS[0], &data).within(10.0, None, Better::Less));
    rows.push(p99(&cost, &data));
    rows.push(many.miss(scale, &data));
    // Before the others come, lest both compete for memory.
    drop(many);
    if wanted.is(IDS[2]) {
        let (mut few, _) = Crowd::register(&tasks, &store, (n_each / 100).max(1))?;
        let beside = few.any(scale);
        rows.push(growth(&cost, &beside, few.n_subscriptions));
    }
    rows.sort_by_key(|row| IDS.iter().position(|id| *id == row.id));
    Ok(rows)
}

/// What is measured on, for people.
pub fn facts(store: &Store) -> String {
    format!("{} facts of tasks", store.snapshot().n_facts())
}

/// Subscriptions of a hundred kinds, and writes that touch about one of them.
struct Crowd {
    watch: Watch,
    traffic: Traffic,
    n_subscriptions: usize,
}

impl Crowd {
    fn register(tasks: &Tasks, store: &Store, n_each: usize) -> Result<(Crowd, Row)> {
        let all = subscriptions(&FAMILIES, n_each)?;
        // Whatever is made when an attribute is asked by value for the first time, is there.
        for (query, inputs) in all.iter().step_by(n_each) {
            query.run(&store.snapshot(), inputs, &Budget::unlimited())?;
        }
        let (n_subscriptions, mut watch) = (all.len(), Watch::new(store.clone()));
        let (took, n_rows) = watch.subscribe(all)?;
        ensure!(n_rows > n_subscriptions, "subscriptions have {n_rows} rows altogether");
        let rate = |time: Duration| n_subscriptions as f64 / time.as_secs_f64();
        let Took { wall, cpu } = took;
        let data = format!(
            "{}; {n_subscriptions} subscriptions with their first answers, {:.1} rows each",
            facts(store),
            n_rows as f64 / n_subscriptions as f64
        );
        let mut row = Row::new(IDS[4], "per s", rate(wall), data);
        row.cpu = Some(rate(cpu));
        let row = row.within(50_000.0, None, Better::More);
        let traffic = Traffic::new(tasks.clone(), n_each);
        Ok((Crowd { watch, traffic, n_subscriptions }, row))
    }

    fn any(&mut self, scale: Scale) -> Cost {
        let traffic = &mut self.traffic;
        self.watch.measure(effort(scale), || traffic.any())
    }

    /// A write that affects nothing: to an attribute that nobody reads, and to one that a hundredth
    /// of the kinds reads, none of whose subscriptions is for this task or number.
    fn miss(&mut self, scale: Scale, data: &str) -> Row {
        let mut index = 0;
        let unread = self.watch.measure(effort(scale), || {
            index += 1;
            vec![set(entity("log", index % 1_000), "log/line", index as i64)]
        });
        let traffic = &mut self.traffic;
        let nobodys = self.watch.measure(effort(scale), || traffic.nobodys());
        let data = format!(
            "{data}; unread attribute {:.2} us, one that {} kinds read {:.2} us",
            unread.mean.cpu,
            FAMILIES.len(),
            nobodys.mean.cpu
        );
        let middle = |of: fn(&Cost) -> f64| f64::midpoint(of(&unread), of(&nobodys));
        let mut row = Row::new(IDS[3], "us", middle(|cost| cost.mean.wall), data);
        row.median = Some(middle(|cost| cost.median.wall));
        row.cpu = Some(middle(|cost| cost.mean.cpu));
        row.n_runs = unread.n_writes + nobodys.n_writes;
        row.ok = unread.ok && nobodys.ok && unread.updates + nobodys.updates == 0.0;
        row.within(1.0, None, Better::Less)
    }
}

fn effort(scale: Scale) -> Effort {
    Effort { n_writes: scale.of(20_000), time_max: Duration::from_secs(10) }
}

fn p99(cost: &Cost, data: &str) -> Row {
    let mut row = Row::new(IDS[1], "us", cost.p99.wall, data);
    row.median = Some(cost.median.wall);
    row.cpu = Some(cost.p99.cpu);
    row.n_runs = cost.n_writes;
    row.ok = cost.ok;
    row.within(50.0, None, Better::Less)
}

/// How many times the cost among few is the cost among many.
fn growth(many: &Cost, few: &Cost, n_few: usize) -> Row {
    let (many_us, few_us) = (many.mean, few.mean);
    let data = format!(
        "{:.2} us and {:.2} updates a write, with {n_few} subscriptions {:.2} us and {:.2}",
        many_us.cpu, many.updates, few_us.cpu, few.updates
    );
    let mut row = Row::new(IDS[2], "x", many_us.wall / few_us.wall, data);
    row.cpu = Some(many_us.cpu / few_us.cpu);
    row.n_runs = many.n_writes + few.n_writes;
    row.ok = many.ok && few.ok;
    row.within(1.3, None, Better::Less)
}
