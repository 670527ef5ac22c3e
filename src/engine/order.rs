//! Sorting where speed does not matter. The standard library's sort compiles to some kilobytes for each type and order, this
//! one to almost nothing, because it always sorts positions.

use std::cmp::Ordering;

/// Sorts a list. Equal elements keep their order.
pub fn sort_by<T>(list: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    let mut places: Vec<usize> = (0..list.len()).collect();
    sort_places(&mut places, &|one, other| order(&list[one], &list[other]));
    // The element that belongs at `at` is at `places[at]`. Each cycle of these moves is followed once.
    for start in 0..list.len() {
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut places[at], at);
            if from == start {
                break;
            }
            list.swap(at, from);
            at = from;
        }
    }
}

fn sort_places(places: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|one, other| order(*one, *other));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(list in prop::collection::vec((0u8..9, any::<u8>()), 0..40)) {
            let mut expected = list.clone();
            expected.sort_by_key(|(key, _)| *key);
            let mut sorted = list;
            sort_by(&mut sorted, |(one, _), (other, _)| one.cmp(other));
            prop_assert_eq!(sorted, expected);
        }
    }
}
