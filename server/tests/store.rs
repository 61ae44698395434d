//! The behaviour suite of the storage trait.
//!
//! Each case is a promise, written once against `dyn Store`; `behaviour_suite!` makes a test of every case for
//! an engine. Another engine needs no more than its [`engine::Engine`] and a line at the end.
//!
//! A case that is missing in the list below is an unused function, and does not pass the lints.

#[path = "store_suite/accounts.rs"]
mod accounts;
#[path = "support/checker.rs"]
mod checker;
#[path = "store_suite/clients.rs"]
mod clients;
#[path = "store_suite/concurrency.rs"]
mod concurrency;
#[path = "store_suite/cursors.rs"]
mod cursors;
#[path = "store_suite/devices.rs"]
mod devices;
#[path = "store_suite/dynamodb.rs"]
mod dynamodb;
#[path = "support/dynamodb_client.rs"]
mod dynamodb_client;
#[path = "store_suite/dynamodb_lost.rs"]
mod dynamodb_lost;
#[path = "store_suite/dynamodb_only.rs"]
mod dynamodb_only;
#[path = "store_suite/engine.rs"]
mod engine;
#[path = "store_suite/fixture.rs"]
mod fixture;
#[path = "store_suite/history.rs"]
mod history;
#[path = "store_suite/idempotency.rs"]
mod idempotency;
#[path = "store_suite/links.rs"]
mod links;
#[path = "store_suite/log.rs"]
mod log;
#[path = "store_suite/members.rs"]
mod members;
#[path = "store_suite/meshes.rs"]
mod meshes;
#[path = "store_suite/model.rs"]
mod model;
#[path = "store_suite/paging.rs"]
mod paging;
#[path = "store_suite/postgres_only.rs"]
mod postgres_only;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "store_suite/retention.rs"]
mod retention;
#[path = "store_suite/rosters.rs"]
mod rosters;
#[path = "store_suite/sqlite_only.rs"]
mod sqlite_only;
#[path = "store_suite/tokens.rs"]
mod tokens;

use meshwire_server::store::Stream;

/// A case that waits for what a broken engine never does ends after this time.
const TOO_LONG: std::time::Duration = std::time::Duration::from_mins(5);

macro_rules! cases {
    ($engine:ty, $($concern:ident { $($case:ident,)* })*) => {
        $(mod $concern {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let mut world = crate::fixture::World::fresh::<$engine>().await;
                    let case = Box::pin(crate::$concern::$case(&mut world));
                    let outcome = tokio::time::timeout(crate::TOO_LONG, case).await;
                    world.store.close().await;
                    outcome.expect("the case ends").expect("the store answers");
                }
            )*
        })*
    };
}

macro_rules! behaviour_suite {
    ($name:ident, $engine:ty) => {
        mod $name {
            cases! {
                $engine,
                log {
                    an_id_is_the_time_or_the_one_after_the_head,
                    a_clock_that_goes_backwards_changes_nothing,
                    a_clock_more_than_a_minute_ahead_is_not_used,
                    the_ids_of_a_batch_are_consecutive_and_in_its_order,
                    a_message_comes_back_as_it_was_sent,
                    an_append_under_another_epoch_writes_nothing,
                    an_append_to_a_mesh_that_is_not_there_says_so,
                    batches_of_several_meshes_go_their_own_ways,
                    the_log_goes_on_where_it_was_after_a_restart,
                    a_store_that_answers_answers_a_ping,
                    a_closed_store_refuses_what_it_cannot_do,
                }
                clients {
                    a_note_is_there_until_its_time_is_over,
                    a_note_is_changed_by_who_has_seen_the_last_one,
                    of_those_who_change_a_note_at_once_one_does,
                }
                idempotency {
                    a_taken_key_is_named_and_nothing_of_its_batch_is_written,
                    a_key_is_free_for_another_agent_and_in_another_mesh,
                    a_key_is_remembered_until_it_expires_and_can_then_be_used_again,
                    a_key_is_remembered_also_when_the_log_is_ahead_of_the_clock,
                    a_key_raced_by_eight_tasks_gives_one_message,
                    a_batch_that_is_refused_takes_no_key_from_others,
                    purging_forgets_expired_keys_and_no_others,
                }
                paging {
                    a_page_holds_what_went_to_the_asked_streams_in_the_order_of_the_log,
                    a_page_ends_at_its_limit_and_leads_on,
                    pages_of_any_size_make_the_same_whole,
                    the_whole_log_is_read_whatever_the_stream,
                    any_read_between_any_appends_is_what_a_model_says,
                    a_page_ends_at_about_a_mebibyte,
                    metadata_counts_on_a_page_too,
                    there_is_nothing_to_read_where_there_is_no_mesh,
                    two_meshes_with_the_same_agents_never_mix,
                }
                history {
                    a_message_is_found_by_its_id_in_its_mesh,
                    the_history_shows_broadcasts_and_what_went_to_or_from_the_given_agents,
                    a_mesh_without_messages_has_an_empty_history,
                    the_history_is_whole_on_pages_of_any_size,
                    a_page_of_the_history_looks_at_a_bounded_number_of_messages,
                    nothing_is_passed_over_where_one_page_stops_looking_and_the_next_begins,
                    a_page_of_the_history_ends_at_about_a_mebibyte,
                }
                cursors {
                    an_acknowledgement_only_moves_forward,
                    setting_a_cursor_moves_it_both_ways,
                    a_cursor_never_goes_beyond_the_head,
                    a_cursor_is_there_after_a_restart,
                    who_is_not_there_has_no_cursor,
                    one_cursor_moves_and_no_other,
                    racing_acknowledgements_end_at_the_largest,
                    moves_that_come_together_are_each_answered,
                    what_was_seen_is_merged_by_max,
                    what_was_seen_twice_in_one_call_is_merged_too,
                    nobody_is_made_by_being_seen,
                }
                retention {
                    the_trim_point_is_a_message_and_moves_only_forward,
                    what_is_trimmed_is_gone_for_every_reader_at_once,
                    a_trimmed_log_goes_on_and_may_be_trimmed_whole,
                    trimmed_messages_are_removed_in_bounded_steps,
                    a_trim_that_overtakes_a_reader_never_skips_in_silence,
                    an_agent_holds_from_its_registration_and_its_last_reading_on,
                    the_smallest_cursor_holds,
                    all_meshes_are_listed_page_by_page,
                    where_there_is_no_mesh_nothing_is_trimmed,
                }
                rosters {
                    an_agent_starts_at_the_head,
                    a_new_agent_has_the_fields_it_came_with,
                    registering_again_gives_the_same_agent_and_replaces_what_is_given,
                    a_name_of_another_member_or_an_id_of_another_agent_is_taken,
                    only_members_register_agents,
                    the_limit_of_agents_is_exact_under_sixteen_registrations,
                    one_name_raced_by_eight_registrations_is_one_agent,
                    a_change_replaces_what_is_given_and_nothing_else,
                    a_new_name_must_be_free_in_any_case_of_its_letters,
                    no_agent_is_named_like_the_id_of_another,
                    a_removed_agent_is_gone_with_its_tokens_and_its_position,
                    a_name_that_comes_again_is_another_agent,
                    every_change_raises_the_epoch,
                    a_change_in_one_mesh_leaves_the_epoch_of_others,
                    a_roster_shows_the_mesh_its_members_and_agents,
                }
                members {
                    a_link_lets_exactly_as_many_in_as_it_says_under_racing_joins,
                    a_link_raced_by_one_user_is_used_once,
                    an_invited_login_is_admitted_and_nobody_else,
                    an_invite_ends_with_its_time_and_when_it_is_withdrawn,
                    an_invite_is_for_its_own_mesh,
                    the_limit_of_invites_is_exact_under_sixteen_racing_calls,
                    a_repeated_request_stays_one_and_is_decided_once,
                    one_request_decided_by_eight_at_once_is_decided_once,
                    who_was_refused_may_ask_again_a_day_later,
                    a_removed_member_is_gone_with_agents_tokens_and_invites,
                    nothing_of_a_removed_member_lands_after_the_removal_was_answered,
                    handing_over_leaves_exactly_one_owner_under_racing_calls,
                    the_owner_is_neither_removed_nor_lowered,
                    who_receives_a_mesh_stays_within_their_limit,
                    nobody_acts_under_an_epoch_that_has_moved,
                    every_change_of_members_raises_the_epoch,
                    a_deleted_mesh_takes_no_one_in,
                }
                meshes {
                    the_limit_of_meshes_is_exact_under_sixteen_racing_calls,
                    a_mesh_that_one_is_a_member_of_does_not_count,
                    the_meshes_of_a_user_come_oldest_first,
                    a_deleted_mesh_is_gone_for_everyone_at_once,
                    a_purge_removes_all_of_a_deleted_mesh_in_bounded_steps,
                    sends_go_on_while_a_large_mesh_is_purged,
                }
                accounts {
                    the_same_identity_is_the_same_user,
                    eight_first_sign_ins_at_once_make_one_user,
                    a_login_that_changes_hands_relabels_its_old_holder,
                    two_people_who_swap_their_logins_stay_themselves,
                    a_session_is_found_until_it_expires,
                    a_session_notes_when_it_was_seen_to_the_hour,
                    sessions_are_listed_newest_first_and_ended_by_their_user_alone,
                }
                tokens {
                    a_token_is_found_by_the_hash_of_its_secret,
                    only_live_tokens_are_listed_and_all_are_found,
                    a_revoked_token_is_refused_from_the_answer_on,
                    an_expired_token_is_not_there_to_be_revoked,
                    a_look_up_that_races_a_revocation_never_brings_a_token_back,
                    the_limit_of_tokens_is_exact_under_sixteen_racing_calls,
                    a_token_is_bound_only_to_what_is_there_and_the_users,
                    a_public_id_makes_one_token_under_eight_racing_calls,
                    no_bound_token_outlives_what_it_is_bound_to_in_a_race,
                    the_last_use_of_a_token_is_merged_by_max,
                    a_token_is_known_for_thirty_days_after_its_end,
                    a_code_of_the_command_line_gives_a_token_of_its_user,
                    a_code_is_good_for_one_token_under_eight_racing_exchanges,
                    a_second_use_of_a_code_revokes_what_the_first_one_got,
                    a_wrong_challenge_ends_a_code,
                    an_expired_or_unknown_code_is_unknown,
                    a_code_for_one_token_too_many_is_spent,
                }
                links {
                    a_link_makes_one_account_under_eight_racing_uses,
                    a_link_ends_with_its_time_or_with_the_next_one,
                    a_link_for_a_login_makes_that_one_alone,
                    a_link_asks_first_whether_the_login_is_there,
                    an_account_ends_the_link_for_the_first_one,
                    a_taken_login_leaves_the_link_as_it_is,
                    a_login_that_a_local_account_once_had_is_taken,
                    a_reset_sets_the_password_once_and_ends_the_sessions_of_that_user,
                    an_invite_makes_exactly_as_many_accounts_as_it_has_uses_under_racing_calls,
                    an_invite_makes_accounts_that_it_lets_in_and_no_others,
                    a_taken_login_leaves_the_invite_as_it_is,
                    who_took_a_login_by_an_invite_is_not_let_in_by_older_invites_for_it,
                    an_invite_is_found_by_its_code_in_its_mesh,
                }
                devices {
                    an_approved_code_gives_one_token_of_its_user,
                    a_code_waits_for_its_decision_and_is_decided_once,
                    an_approval_that_races_a_refusal_is_one_of_the_two,
                    an_approved_code_gives_one_token_under_eight_racing_polls,
                    a_poll_that_comes_too_soon_makes_the_time_between_polls_grow,
                    a_device_code_ends_with_its_time,
                    a_device_code_is_for_the_client_that_asked,
                    a_denied_code_stays_denied,
                    a_typed_code_is_used_once_at_a_time,
                    a_device_code_for_one_token_too_many_is_spent,
                    a_purge_leaves_the_codes_that_still_count,
                }
                concurrency {
                    all_readers_see_all_that_is_sent_in_one_order,
                    sends_that_are_repeated_at_once_are_sent_once_and_in_order,
                    what_was_read_is_never_ahead_of_the_head,
                    a_new_agent_gets_exactly_what_is_appended_after_it,
                    nothing_reaches_an_agent_after_its_removal_was_answered,
                    a_deletion_ends_all_that_race_it,
                }
            }
        }
    };
}

behaviour_suite!(sqlite, crate::engine::Sqlite);

behaviour_suite!(postgres, crate::engine::Postgres);

behaviour_suite!(dynamodb_local, crate::dynamodb::DynamoDb);
