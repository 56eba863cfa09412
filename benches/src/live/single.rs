//! One subscription over many facts, each write of which changes its result: aggregates, a window,
//! a filter, a pull with nested rows, a test for existence.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use tercet_engine::fact::Op;
use tercet_engine::ids::EntityId;
use tercet_engine::store::Store;
use tercet_tests::random::Random;

use super::watch::{Effort, Watch};
use super::write::{entity, set, unset};
use crate::data::store_of;
use crate::row::{Better, Row};
use crate::{Context, Scale, Wanted};

/// Ids of the rows.
pub const IDS: &[&str] = &[
    "live.aggregate",
    "live.top",
    "live.simple.filter",
    "live.simple.top",
    "live.simple.nested",
    "live.simple.exists",
];

/// Facts under the simple ones, and rows under the window.
const N_FACTS: usize = 100_000;

/// Measures those that are wanted.
///
/// # Errors
/// When a query is refused.
pub fn run(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let scale = context.scale;
    let all: [fn(Scale) -> Result<Row>; 6] =
        [aggregate, top, simple_filter, simple_top, simple_nested, simple_exists];
    let chosen = IDS.iter().zip(all).filter(|(id, _)| wanted.is(id));
    chosen.map(|(_, run)| run(scale)).collect()
}

/// Measures one query, in microseconds that it must not exceed.
fn measure(
    id: &'static str,
    scale: Scale,
    must: f64,
    (store, text): (Store, &str),
    next: impl FnMut() -> Vec<Op>,
) -> Result<Row> {
    let n_facts = store.snapshot().n_facts();
    let mut watch = Watch::new(store);
    let (_, n_rows) = watch.subscribe(vec![(tercet_query_lang::compile(text, None)?, vec![])])?;
    let tiers = watch.tiers();
    let effort = Effort { n_writes: scale.of(10_000), time_max: Duration::from_secs(5) };
    let cost = watch.measure(effort, next);
    let row = cost.row(id, &format!("{n_facts} facts, {n_rows} rows, {tiers}"));
    Ok(row.within(must, None, Better::Less))
}

/// Sales of 100 shops: half a million, two facts each.
fn aggregate(scale: Scale) -> Result<Row> {
    let (n_sales, mut random) = (scale.of(500_000), Random::new(21));
    let shop = |random: &mut Random| entity("shop", random.below(100));
    let amount = |random: &mut Random| random.below(10_000) as i64;
    let mut ops = Vec::new();
    for index in 0..n_sales {
        let e = entity("sale", index);
        ops.push(set(e.clone(), "sale/shop", shop(&mut random)));
        ops.push(set(e, "sale/amount", amount(&mut random)));
    }
    let mut is_absent = vec![false; n_sales];
    let text = "[:find ?shop (count ?s) (sum ?a)
                 :where [?s :sale/shop ?shop] [?s :sale/amount ?a]]";
    measure(IDS[0], scale, 10.0, (store_of(&ops), text), || {
        let index = random.below(n_sales);
        let e = entity("sale", index);
        vec![match random.below(10) {
            0 => set(e, "sale/shop", shop(&mut random)),
            1..4 if !is_absent[index] => {
                is_absent[index] = true;
                unset(e, "sale/amount")
            }
            _ => {
                is_absent[index] = false;
                set(e, "sale/amount", amount(&mut random))
            }
        }]
    })
}

fn top(scale: Scale) -> Result<Row> {
    let text = "[:find ?e ?s :where [?e :player/score ?s] :order-by [[?s :desc] ?e] :limit 50]";
    window(IDS[1], scale, 10.0, text, 50)
}

fn simple_top(scale: Scale) -> Result<Row> {
    let text = "[:find ?e ?s :where [?e :player/score ?s] :order-by [[?s :desc] ?e] :limit 10]";
    window(IDS[3], scale, 1.0, text, 10)
}

/// A window over scores: equally often a player comes in, drops out, moves within, or moves
/// outside.
fn window(id: &'static str, scale: Scale, must: f64, text: &str, n_in: usize) -> Result<Row> {
    let (n_players, mut random) = (scale.of(N_FACTS), Random::new(22));
    let mut scores: Vec<usize> = (0..n_players).map(|_| random.below(10 * n_players)).collect();
    let put = |index: usize, score: usize| set(player(index), "player/score", score as i64);
    let ops: Vec<Op> = scores.iter().enumerate().map(|(index, score)| put(index, *score)).collect();
    let mut ranks: BTreeSet<(usize, usize)> =
        scores.iter().enumerate().map(|(index, score)| (*score, index)).collect();
    measure(id, scale, must, (store_of(&ops), text), || {
        let members: Vec<(usize, usize)> = ranks.iter().rev().take(n_in).copied().collect();
        let (best, worst) = (members[0].0, members[n_in - 1].0);
        let kind = random.below(4);
        let index = match kind {
            0 | 1 => random.pick(&members).1,
            _ => random.below(n_players),
        };
        // Some of those who come in beat everybody, so that scores do not crowd together.
        let score = match kind {
            0 | 2 => worst + random.below(best - worst + n_players / 10),
            _ => random.below(worst),
        };
        ranks.remove(&(scores[index], index));
        ranks.insert((score, index));
        scores[index] = score;
        vec![put(index, score)]
    })
}

fn player(index: usize) -> EntityId {
    entity("player", index)
}

/// One in ten items is dear; every write makes one dear or cheap.
fn simple_filter(scale: Scale) -> Result<Row> {
    let (n_items, mut random) = (scale.of(N_FACTS), Random::new(23));
    let price = |is_dear: bool, random: &mut Random| match is_dear {
        true => 90_000 + random.below(10_000),
        false => random.below(90_000),
    };
    let put = |index: usize, price: usize| set(entity("item", index), "item/price", price as i64);
    let (mut dear, mut cheap): (Vec<usize>, Vec<usize>) =
        (0..n_items).partition(|index| index.is_multiple_of(10));
    let of = |items: &[usize], is_dear, random: &mut Random| -> Vec<Op> {
        items.iter().map(|index| put(*index, price(is_dear, random))).collect()
    };
    let ops = [of(&dear, true, &mut random), of(&cheap, false, &mut random)].concat();
    let text = "[:find ?e ?v :where [?e :item/price ?v] [(>= ?v 90000)]]";
    let mut becomes_dear = false;
    measure(IDS[2], scale, 1.0, (store_of(&ops), text), || {
        becomes_dear = !becomes_dear;
        let (from, to) = match becomes_dear {
            true => (&mut cheap, &mut dear),
            false => (&mut dear, &mut cheap),
        };
        let index = from.swap_remove(random.below(from.len()));
        to.push(index);
        vec![put(index, price(becomes_dear, &mut random))]
    })
}

/// Comments on posts, of which some are not there at a time.
struct Comments {
    n_posts: usize,
    is_there: Vec<bool>,
    n_texts: usize,
    random: Random,
}

impl Comments {
    fn new(n_posts: usize, n_comments: usize) -> Comments {
        let is_there = vec![true; n_comments];
        Comments { n_posts, is_there, n_texts: 0, random: Random::new(24) }
    }

    fn ops(&mut self, has_text: bool) -> Vec<Op> {
        let title = |index| set(entity("post", index), "post/title", format!("title {index}"));
        let mut ops: Vec<Op> = (0..self.n_posts).map(title).collect();
        for index in 0..self.is_there.len() {
            ops.push(self.put(index));
            ops.extend(has_text.then(|| self.write(index)));
        }
        ops
    }

    fn put(&mut self, index: usize) -> Op {
        let post = entity("post", self.random.below(self.n_posts));
        set(entity("comment", index), "comment/post", post)
    }

    fn write(&mut self, index: usize) -> Op {
        self.n_texts += 1;
        set(entity("comment", index), "comment/text", format!("text {}", self.n_texts))
    }

    /// Takes a comment away, or puts it under any post.
    fn toggle(&mut self, index: usize) -> Op {
        self.is_there[index] = !self.is_there[index];
        match self.is_there[index] {
            true => self.put(index),
            false => unset(entity("comment", index), "comment/post"),
        }
    }
}

/// Posts with their comments: half of the writes change a text, the others take a comment away or
/// put one under a post.
fn simple_nested(scale: Scale) -> Result<Row> {
    let n_comments = scale.of(N_FACTS * 45 / 100);
    let mut comments = Comments::new(scale.of(N_FACTS / 10), n_comments);
    let store = store_of(&comments.ops(true));
    let text = "[:find (pull ?p [:post/title {:comment/_post [:comment/text]}])
                 :where [?p :post/title _]]";
    measure(IDS[4], scale, 3.0, (store, text), || {
        let index = comments.random.below(n_comments);
        vec![match comments.is_there[index] && comments.random.chance(60) {
            true => comments.write(index),
            false => comments.toggle(index),
        }]
    })
}

/// Posts with a comment: one comes or goes with every write, for about a third of which it is the
/// only one.
fn simple_exists(scale: Scale) -> Result<Row> {
    let n_comments = scale.of(N_FACTS / 2);
    let mut comments = Comments::new(scale.of(N_FACTS / 2), n_comments);
    let store = store_of(&comments.ops(false));
    let text = "[:find ?p :where [?p :post/title _] [_ :comment/post ?p]]";
    measure(IDS[5], scale, 1.0, (store, text), || {
        let index = comments.random.below(n_comments);
        vec![comments.toggle(index)]
    })
}
