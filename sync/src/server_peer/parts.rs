//! Parts: what an instance changed, cut into frames of bounded size.

use tercet_engine::fact::Install;
use tercet_engine::ids::Seq;

use crate::codec::SharedFrame;
use crate::message::{FactsPart, InstanceId, RowsPart, ServerMessage};
use crate::size::{install_bytes, row_bytes};
use crate::wire_row::WireRow;

/// A frame is cut when its items come to so many bytes, by a rough count.
const PART_BYTES: usize = 256 << 10;

/// Cuts a list where the sizes of its items come to [`PART_BYTES`]; at least one list.
fn cut<Item>(items: Vec<Item>, n_bytes: impl Fn(&Item) -> usize) -> Vec<Vec<Item>> {
    let mut lists = vec![Vec::new()];
    let mut n_bytes_last = 0;
    for item in items {
        let n_bytes_item = n_bytes(&item);
        if n_bytes_last + n_bytes_item > PART_BYTES && n_bytes_last > 0 {
            lists.push(Vec::new());
            n_bytes_last = 0;
        }
        n_bytes_last += n_bytes_item;
        lists.last_mut().expect("starts with one list").push(item);
    }
    lists
}

/// The frames of a facts-mode instance's change. Only the first one resets.
pub(crate) fn facts_frames(
    instance: InstanceId,
    seq: Seq,
    reset: bool,
    installs: Vec<Install>,
) -> Vec<SharedFrame> {
    let parts = cut(installs, install_bytes).into_iter().enumerate();
    parts
        .map(|(index, installs)| {
            let reset = reset && index == 0;
            ServerMessage::FactsPart(FactsPart { instance, seq, reset, installs }).into()
        })
        .collect()
}

/// The frames of a rows-mode instance's change. Only the first one resets.
pub(crate) fn rows_frames(
    instance: InstanceId,
    seq: Seq,
    reset: bool,
    added: Vec<WireRow>,
    removed: Vec<WireRow>,
) -> Vec<SharedFrame> {
    let signed = removed.into_iter().map(|row| (row, false));
    let signed: Vec<(WireRow, bool)> =
        signed.chain(added.into_iter().map(|row| (row, true))).collect();
    let parts = cut(signed, |(row, _)| row_bytes(row)).into_iter().enumerate();
    parts
        .map(|(index, rows)| {
            let reset = reset && index == 0;
            let (added, removed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, sign)| *sign);
            let rows = |rows: Vec<(WireRow, bool)>| rows.into_iter().map(|(row, _)| row).collect();
            let (added, removed) = (rows(added), rows(removed));
            ServerMessage::RowsPart(RowsPart { instance, seq, reset, added, removed }).into()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_by_size_and_nothing_is_lost() {
        let items: Vec<usize> = vec![PART_BYTES - 1, 1, 1, PART_BYTES * 2, 5];
        let lists = cut(items.clone(), |item| *item);
        let sizes: Vec<usize> = lists.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
        assert_eq!(lists.concat(), items);
        assert_eq!(cut(Vec::new(), |item| *item), vec![Vec::<usize>::new()]);
    }
}
