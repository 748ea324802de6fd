//! The same with many at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A thread costs more than a few certificates.
const FEW: usize = 8;

/// Does the same with each, on every core; the results keep their order.
pub fn in_parallel<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    at_once(items.len().min(if items.len() < FEW { 1 } else { cores }), items, each)
}

/// Does the same with each, on so many threads; the results keep their order. For work that waits, more threads than there are
/// cores.
pub fn at_once<T: Send, R: Send>(threads: usize, items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads.min(items.len()) <= 1 {
        return items.into_iter().map(each).collect();
    }
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some((item, result)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).zip(results.get(at))
                } {
                    let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = item.map(&each);
                }
            });
        }
    });
    results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_keep_their_order() {
        for count in [0, 1, 7, 8, 1000] {
            let doubled: Vec<usize> = (0..count).map(|n| 2 * n).collect();
            assert_eq!(in_parallel((0..count).collect(), |n| 2 * n), doubled);
            assert_eq!(at_once(32, (0..count).collect(), |n| 2 * n), doubled);
        }
    }

    /// Each waits for all others.
    #[test]
    fn as_many_as_asked_for_run_at_once() {
        let all = Barrier::new(5);
        assert_eq!(at_once(5, vec![(); 5], |()| all.wait().is_leader()).into_iter().filter(|leads| *leads).count(), 1);
    }
}
