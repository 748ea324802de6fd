//! The same with many, on every core.

use std::thread;

/// Does the same with each, on every core; the results keep their order.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // A thread costs more than a few certificates.
    if cores == 1 || items.len() < 8 {
        return items.into_iter().map(each).collect();
    }
    let share = items.len().div_ceil(cores);
    let mut items = items.into_iter();
    let shares: Vec<Vec<T>> =
        std::iter::from_fn(|| Some(items.by_ref().take(share).collect()).filter(|share: &Vec<T>| !share.is_empty()))
            .collect();
    thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(each).collect::<Vec<R>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
