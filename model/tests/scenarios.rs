//! The short set, one test a scenario: the production protocol under every interleaving.

use steadfast_model::{
    scenarios::{self, Set},
    verdict,
};

macro_rules! short {
    ($($test:ident = $name:literal;)*) => {
        $(#[test] fn $test() { holds($name); })*
        const TESTED: &[&str] = &[$($name),*];
    };
}

fn holds(name: &str) {
    let Some(trial) = scenarios::named(name) else { panic!("no scenario is called {name}") };
    match verdict((trial.scenario)()) {
        Ok(found) => {
            println!("{name}: {} states, depth {}, {:?}", found.states, found.depth, found.took)
        }
        Err(complaint) => panic!("{name}: {}\n{complaint}", trial.shows),
    }
}

short! {
    media_x_start = "media-x-start";
    media_insert_refused_again_and_again = "media-insert-refused-again-and-again";
    finding_of_two_strangers = "finding-of-two-strangers";
    finding_of_a_qemu = "finding-of-a-qemu";
    finding_of_a_loss = "finding-of-a-loss";
    finding_of_a_friend = "finding-of-a-friend";
    finding_of_a_stranger = "finding-of-a-stranger";
    detach_again_x_wait_guest_refuses = "detach-again-x-wait-guest-refuses";
    detach_x_wait_guest_refuses = "detach-x-wait-guest-refuses";
    builder_and_folder_lost = "builder-and-folder-lost";
    attach_killed_and_its_qemu = "attach-killed-and-its-qemu";
    destroy_x_start_after_an_end = "destroy-x-start-after-an-end";
    destroy_x_stop = "destroy-x-stop";
    detach_in_doubt = "detach-in-doubt";
    attach_fine_x_detach = "attach-fine-x-detach";
    start_that_fails_alone = "start-that-fails-alone";
    start_after_an_end = "start-after-an-end";
    undefine_after_an_end = "undefine-after-an-end";
    replace_x_start = "replace-x-start";
    lock_of_what_is_gone = "lock-of-what-is-gone";
    section_without_its_lock_hits_nobody = "section-without-its-lock-hits-nobody";
    define_x_define = "define-x-define";
    plan_that_conflicts_in_the_record = "plan-that-conflicts-in-the-record";
    plan_that_conflicts = "plan-that-conflicts";
    ended_twice = "ended-twice";
    command_socket_gone_x_re_creation = "command-socket-gone-x-re-creation";
    command_socket_gone = "command-socket-gone";
    folder_wiped = "folder-wiped";
    attach_killed_before_a_waiter = "attach-killed-before-a-waiter";
    detach_x_re_creation_killed = "detach-x-re-creation-killed";
    wait_x_re_creation_killed = "wait-x-re-creation-killed";
    exit_that_is_a_rumour = "exit-that-is-a-rumour";
    attach_x_destroy = "attach-x-destroy";
    attach_x_destroy_x_settle_one_crash = "attach-x-destroy-x-settle-one-crash";
    attach_x_attach_either_is_fine = "attach-x-attach-either-is-fine";
    plan_refused = "plan-refused";
    plan_best_effort = "plan-best-effort";
    plan_best_effort_that_conflicts = "plan-best-effort-that-conflicts";
    plan_refused_and_unknown = "plan-refused-and-unknown";
    create_x_destroy_x_attach = "create-x-destroy-x-attach";
    start_x_destroy_x_start = "start-x-destroy-x-start";
    mark_that_nobody_finished = "mark-that-nobody-finished";
    define_finishes_what_was_marked = "define-finishes-what-was-marked";
    detach_of_a_silent_guest_x_destroy = "detach-of-a-silent-guest-x-destroy";
    detach_of_scsi_events_lost = "detach-of-scsi-events-lost";
    detach_with_late_events = "detach-with-late-events";
    detach_x_detach_guest_refuses = "detach-x-detach-guest-refuses";
    detach_x_detach_either_is_fine = "detach-x-detach-either-is-fine";
    two_domains_attach_x_destroy_x_start = "two-domains-attach-x-destroy-x-start";
    two_domains_attach_x_attach = "two-domains-attach-x-attach";
    attach_dropped_x_attach = "attach-dropped-x-attach";
    start_dropped_x_destroy = "start-dropped-x-destroy";
    detach_dropped_x_attach_of_the_same_id = "detach-dropped-x-attach-of-the-same-id";
    media_insert_dropped_x_eject = "media-insert-dropped-x-eject";
    reset_unknown_x_detach = "reset-unknown-x-detach";
    monitor_silent = "monitor-silent";
    media_insert_killed = "media-insert-killed";
    media_insert_killed_twice = "media-insert-killed-twice";
    media_x_media_either_is_fine = "media-x-media-either-is-fine";
    media_into_a_locked_drive = "media-into-a-locked-drive";
    media_insert_unknown = "media-insert-unknown";
    media_insert_x_repair_of_its_node = "media-insert-x-repair-of-its-node";
    repair_x_attach = "repair-x-attach";
    repair_x_detach = "repair-x-detach";
    repair_x_media = "repair-x-media";
    stranger_adopted = "stranger-adopted";
    start_x_stop_anything_fails = "start-x-stop-anything-fails";
    qemu_that_dies = "qemu-that-dies";
    stop_that_comes_late = "stop-that-comes-late";
    attach_stopped_x_destroy = "attach-stopped-x-destroy";
    attach_stopped_x_attach = "attach-stopped-x-attach";
    start_stopped_x_destroy = "start-stopped-x-destroy";
    wakes_lost_attach_x_detach = "wakes-lost-attach-x-detach";
    platform_fails_under_attach = "platform-fails-under-attach";
    platform_fails_under_detach = "platform-fails-under-detach";
    platform_fails_under_media = "platform-fails-under-media";
    platform_fails_under_stop = "platform-fails-under-stop";
    platform_fails_under_destroy = "platform-fails-under-destroy";
    platform_fails_under_create = "platform-fails-under-create";
    platform_fails_twice_under_create = "platform-fails-twice-under-create";
    attach_unanswered_x_stop = "attach-unanswered-x-stop";
    detach_unanswered_x_stop = "detach-unanswered-x-stop";
    media_unanswered_x_stop = "media-unanswered-x-stop";
    attach_over_a_killed_media_change = "attach-over-a-killed-media-change";
}

#[test]
fn every_short_scenario_is_tested() {
    let short = scenarios::all().into_iter().filter(|trial| trial.set == Set::Short);
    let missing: Vec<_> =
        short.map(|trial| trial.name).filter(|name| !TESTED.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_name_is_kebab_case_and_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for trial in scenarios::all() {
        let is_kebab = trial.name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(is_kebab && seen.insert(trial.name), "{}", trial.name);
    }
}
