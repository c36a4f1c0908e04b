use super::*;

fn write(file: &Arc<dyn FileHandle>, position: u64, bytes: &[u8]) {
    file.write_at(position, &mut [IoSlice::new(bytes)]).unwrap();
}

fn read(files: &SimFiles, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path, OpenMode::Read)?;
    let mut content = vec![0; file.size()? as usize];
    file.read_at(0, &mut content)?;
    Ok(content)
}

#[test]
fn what_was_synced_survives_every_power_loss() {
    let path = Path::new("/a");
    let files = SimFiles::new();
    let file = files.open(path, OpenMode::CreateOrWrite).unwrap();
    write(&file, 0, b"synced");
    file.sync_data(SyncSite::Append).unwrap();
    files.sync_dir(Path::new("/"), SyncSite::NewSegment).unwrap();
    write(&file, 6, &[7; 5000]);

    let mut outcomes = HashSet::new();
    for seed in 0..200 {
        let fork = files.fork();
        fork.crash(Crash::Power { seed });
        let content = read(&fork, path).unwrap();
        assert_eq!(&content[..6], b"synced");
        outcomes.insert(content);
    }
    assert!(outcomes.len() > 20, "kept, dropped, torn and holed: {}", outcomes.len());
    assert!(outcomes.contains(b"synced".as_slice()));
    assert!(outcomes.contains(&[b"synced".to_vec(), vec![7; 5000]].concat()));
}

#[test]
fn a_name_is_durable_after_its_folder_was_synced_only() {
    let files = SimFiles::new();
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    write(&file, 0, b"x");
    file.sync_data(SyncSite::Append).unwrap();
    let kept = |files: &SimFiles, name: &str| {
        (0..50)
            .filter(|seed| {
                let fork = files.fork();
                fork.crash(Crash::Power { seed: *seed });
                read(&fork, Path::new(name)).is_ok()
            })
            .count()
    };
    assert!((1..50).contains(&kept(&files, "/a")));
    files.sync_dir(Path::new("/"), SyncSite::NewSegment).unwrap();
    assert_eq!(kept(&files, "/a"), 50);
    files.rename(Path::new("/a"), Path::new("/b")).unwrap();
    // The rename is one step: one of the names is always there.
    assert_eq!(kept(&files, "/a") + kept(&files, "/b"), 50);
    assert!((1..50).contains(&kept(&files, "/b")));
}

#[test]
fn a_killed_process_loses_nothing_but_its_handles() {
    let files = SimFiles::new();
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    let lock = files.lock(Path::new("/.lock")).unwrap();
    assert!(files.lock(Path::new("/.lock")).unwrap().is_none());
    write(&file, 0, b"x");
    files.crash(Crash::Process);
    assert_eq!(read(&files, Path::new("/a")).unwrap(), b"x");
    assert!(file.sync_data(SyncSite::Append).is_err());
    let relocked = files.lock(Path::new("/.lock")).unwrap();
    assert!(relocked.is_some());
    drop(lock);
    assert!(files.lock(Path::new("/.lock")).unwrap().is_none(), "a dead lock frees nothing");
    // It was never synced: the next power loss may take it.
    assert!((0..50).any(|seed| {
        let fork = files.fork();
        fork.crash(Crash::Power { seed });
        read(&fork, Path::new("/a")).is_err()
    }));
}

#[test]
fn a_failed_sync_gives_up_what_it_did_not_write() {
    let files = SimFiles::new();
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    files.sync_dir(Path::new("/"), SyncSite::NewSegment).unwrap();
    write(&file, 0, b"x");
    files.inject("/a", SimFault::SyncError);
    assert!(file.sync_data(SyncSite::Append).is_err());
    files.heal();
    file.sync_data(SyncSite::Append).unwrap();
    assert_eq!(read(&files, Path::new("/a")).unwrap(), b"x");
    files.crash(Crash::Power { seed: 1 });
    assert_eq!(read(&files, Path::new("/a")).unwrap(), b"");
}

#[test]
fn ignored_syncs_are_counted_and_do_nothing() {
    let files = SimFiles::new();
    files.ignore_syncs(SyncSite::Append);
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    files.sync_dir(Path::new("/"), SyncSite::NewSegment).unwrap();
    write(&file, 0, b"x");
    file.sync_data(SyncSite::Append).unwrap();
    assert_eq!(files.syncs(SyncSite::Append), 1);
    assert!((0..50).any(|seed| {
        let fork = files.fork();
        fork.crash(Crash::Power { seed });
        read(&fork, Path::new("/a")).unwrap().is_empty()
    }));
}

#[test]
fn a_full_disk_takes_half_a_write() {
    let files = SimFiles::new();
    let file =
        files.open(Path::new("/log/a").file_name().map(Path::new).unwrap(), OpenMode::CreateOrWrite).unwrap();
    files.inject("a", SimFault::NoSpace);
    let error = file.write_at(0, &mut [IoSlice::new(b"abcd")]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 2);
}

#[test]
fn the_observer_sees_each_state_once() {
    let files = SimFiles::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    files.observe(move |fork| record.lock().unwrap().push(fork.operations()));
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    write(&file, 0, b"x");
    file.sync_data(SyncSite::Append).unwrap();
    files.stop_observing();
    files.remove_file(Path::new("/a")).unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
}

/// What a power loss can leave of a write: all of it, any sectors of it, or its first ones. A disk writes sectors whole.
#[test]
fn a_write_is_torn_at_every_sector_and_nowhere_else() {
    let files = SimFiles::new();
    let file = files.open(Path::new("/a"), OpenMode::CreateOrWrite).unwrap();
    write(&file, 0, &[1; 412]);
    file.sync_data(SyncSite::Append).unwrap();
    files.sync_dir(Path::new("/"), SyncSite::NewSegment).unwrap();
    write(&file, 412, &[7; 1300]);
    // The write covers the rest of a sector, two whole ones, and the beginning of one more.
    let ends = [412, 512, 1024, 1536, 1712];
    let mut lengths = HashSet::new();
    let (mut holed, mut emptied) = (0, 0);
    for seed in 0..1000 {
        let fork = files.fork();
        fork.crash(Crash::Power { seed });
        let content = read(&fork, Path::new("/a")).unwrap();
        assert_eq!(content[..412], [1; 412]);
        lengths.insert(content.len());
        let sectors = ends.windows(2).map(|ends| content.get(ends[0]..ends[1].min(content.len())));
        let kept: Vec<bool> = sectors
            .flatten()
            .filter(|sector| !sector.is_empty())
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}");
                sector[0] == 7
            })
            .collect();
        // Of a file that is shorter only the first sectors were written; of one that is not, any of them.
        assert!(content.len() == 1712 || kept.iter().all(|kept| *kept), "seed {seed}");
        holed += u32::from(kept.is_sorted_by(|a, b| a <= b) && kept.contains(&false) && kept.contains(&true));
        emptied += u32::from(!kept.is_empty() && !kept.contains(&true));
    }
    assert_eq!(lengths, HashSet::from(ends));
    assert!(holed > 0 && emptied > 0, "{holed} without the first sectors, {emptied} with the length alone");
}

#[test]
fn some_power_losses_take_everything_and_some_nothing() {
    let files = SimFiles::new();
    let names: Vec<String> = (0..40).map(|n| format!("/{n}")).collect();
    for name in &names {
        files.open(Path::new(name), OpenMode::CreateOrWrite).unwrap();
    }
    let counts: HashSet<usize> = (0..100)
        .map(|seed| {
            let fork = files.fork();
            fork.crash(Crash::Power { seed });
            fork.list(Path::new("/")).unwrap().len()
        })
        .collect();
    assert!(counts.contains(&0) && counts.contains(&40) && counts.len() > 5, "{counts:?}");
}
