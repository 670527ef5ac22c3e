use std::collections::BTreeSet;

use octoprompt_storage::engine::fs::{
    Chooser, Combination, Coverage, Extreme, Fs, KeptAlone, LostAlone, Replay, Seeded, SimFs,
};

use crate::{create, machine, open, path};

/// Rewrites a durable file and creates a new one, both unsynced.
fn workload() -> SimFs {
    let fs = machine();
    fs.write_file("/d/old", &[b'a'; 1024]);
    open(&fs, "/d/old").write_at(&[b'b'; 1024], 0).unwrap();
    create(&fs, "/d/new").write_at(&[b'c'; 1024], 0).unwrap();
    fs
}

fn after(fs: &SimFs, chooser: &mut dyn Chooser) -> (Vec<u8>, Option<Vec<u8>>) {
    let after = fs.power_loss(chooser);
    (after.read_file("/d/old").unwrap(), after.read_file("/d/new"))
}

#[test]
fn each_extreme_keeps_and_loses_what_its_name_says() {
    let fs = workload();
    let sectors = |byte: u8| vec![byte; 1024];
    assert_eq!(after(&fs, &mut Extreme::Nothing), (sectors(b'a'), None));
    assert_eq!(after(&fs, &mut Extreme::Everything), (sectors(b'b'), Some(sectors(b'c'))));
    assert_eq!(after(&fs, &mut Extreme::DataWithoutNames), (sectors(b'b'), None));
    assert_eq!(after(&fs, &mut Extreme::NamesWithoutData), (sectors(b'a'), Some(Vec::new())));
    assert_eq!(after(&fs, &mut Extreme::ZeroedData), (sectors(b'a'), Some(sectors(0))));
}

#[test]
fn each_effect_can_be_lost_alone_and_kept_alone() {
    let fs = workload();
    let effects = fs.snapshot().effects();
    assert_eq!(effects.len(), 6, "a name, a length and four sectors");
    let [mut lost, mut kept] = [BTreeSet::new(), BTreeSet::new()];
    for effect in 0..effects.len() {
        lost.insert(after(&fs, &mut LostAlone(effect)));
        kept.insert(after(&fs, &mut KeptAlone(effect)));
    }
    assert_eq!(lost.len(), 6);
    let halves = [[b'b'; 512], [b'a'; 512]].concat();
    assert!(kept.contains(&(halves, None)));
}

#[test]
fn an_effect_kept_alone_keeps_the_effects_it_depends_on() {
    let fs = machine();
    create(&fs, "/d/f");
    fs.rename(path("/d/f"), path("/d/g")).unwrap();
    assert!(fs.power_loss(&mut KeptAlone(1)).read_file("/d/g").is_some());
    let lost = fs.power_loss(&mut LostAlone(0));
    assert_eq!(lost.list_dir(path("/d")).unwrap(), [""; 0], "the rename can't survive the file's creation");
}

#[test]
fn a_short_workload_is_explored_exhaustively() {
    let fs = workload();
    let effects = fs.snapshot().effects();
    assert_eq!(Combination::count(&effects), Some(64));
    let whole = |content: &Vec<u8>| content.chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0]));
    let states: BTreeSet<_> = fs
        .crash_states(1000, 1)
        .map(|after| (after.read_file("/d/old").unwrap(), after.read_file("/d/new")))
        .filter(|(old, new)| whole(old) && new.iter().all(whole))
        .collect();
    // Four versions of the old file; the new one is missing, empty, or long in four versions.
    assert!(states.len() >= 4 * 6, "{}", states.len());
}

#[test]
fn a_long_workload_is_sampled_up_to_the_limit_without_repetition() {
    let fs = machine();
    create(&fs, "/d/f").write_at(&[1; 100_000], 0).unwrap();
    let hashes: Vec<u64> = fs.crash_states(300, 1).map(|after| after.image_hash()).collect();
    assert_eq!(hashes.len(), 300);
    assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), 300);
}

#[test]
fn a_seed_reproduces_its_states_and_other_seeds_give_others() {
    let fs = workload();
    let states =
        |seed| -> Vec<_> { (0..8).map(|_| Seeded::new(seed)).map(|mut c| after(&fs, &mut c)).collect() };
    assert_eq!(states(3), states(3));
    let different: BTreeSet<_> = (0..40).map(|seed| after(&fs, &mut Seeded::new(seed))).collect();
    assert!(different.len() > 10);
}

#[test]
fn a_reported_state_can_be_reproduced() {
    let fs = workload();
    for state in fs.crash_states(80, 9) {
        let origin = state.origin().unwrap();
        let again = fs.power_loss(&mut Replay(origin.fates().to_vec()));
        assert_eq!(again.image_hash(), state.image_hash(), "{origin}");
    }
}

#[test]
fn the_origin_names_the_chosen_effects() {
    let text = workload().power_loss(&mut Extreme::Nothing).origin().unwrap().to_string();
    assert!(text.starts_with("power lost after 4 calls, chosen by Nothing:\n"), "{text}");
    assert!(text.contains("sector 1 of old (2 versions): Version(0)"), "{text}");
}

#[test]
fn one_recorded_run_gives_every_crash_point() {
    let fs = machine();
    fs.record();
    let file = create(&fs, "/d/f");
    file.write_at(b"x", 0).unwrap();
    file.read_at(&mut [0], 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(path("/d")).unwrap();
    fs.list_dir(path("/d")).unwrap();
    let moments = fs.moments();
    let calls: Vec<u64> = moments.iter().map(|moment| moment.calls()).collect();
    assert_eq!(calls, [0, 1, 2, 4, 5, 6]);
    let survives = |at: usize| moments[at].power_loss(&mut Extreme::Nothing).read_file("/d/f").is_some();
    assert_eq!([survives(3), survives(4)], [false, true]);
}

#[test]
fn a_machine_after_a_power_loss_can_lose_power_again() {
    let fs = workload();
    for first in fs.crash_states(50, 1) {
        assert!(first.snapshot().effects().is_empty());
        create(&first, "/d/more");
        assert_eq!(first.crash_states(50, 1).count(), 2);
    }
}

#[test]
fn distinct_states_are_counted_across_machines() {
    let coverage = Coverage::default();
    for _ in 0..2 {
        let fs = SimFs::with_coverage(&coverage);
        fs.create_dir(path("/d")).unwrap();
        let after: Vec<SimFs> = fs.crash_states(10, 1).collect();
        assert_eq!(after.len(), 2);
        create(&after[0], "/f");
        assert_eq!(after[0].crash_states(10, 1).count(), 2);
    }
    assert_eq!(coverage.states(), 3);
}
