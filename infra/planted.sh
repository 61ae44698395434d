#!/usr/bin/env bash
# Tests the tests: plants one bug after the other and sees that its test finds it.
#
#   infra/test.sh -- infra/planted.sh [BUG…]    all of them, or those that are named
#
# The bugs are compiled in by the feature `planted-bugs` alone, and MESHWIRE_PLANTED_BUG chooses one at run time, see
# server/src/planted.rs. Fails when a test does not find its bug, and when one fails that a bug must not harm.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# bug, file of tests, the test; `late` instead of `found` for what makes messages late and must not lose any.
bugs='
ack-before-commit       found faults  kill::postgres::kill_9_of_a_node_loses_and_doubles_nothing
unsure-not-looked       found faults  partition::postgres::a_commit_that_nobody_heard_of_is_found
hints-dropped           late  faults  many::postgres::two_nodes_have_one_log
hints-dropped           late  faults  many::dynamodb::two_nodes_have_one_log
fsync-off-taken         found faults  engine::a_postgres_that_would_lose_what_it_confirmed_is_refused
head-unlocked           found store   postgres::concurrency::all_readers_see_all_that_is_sent_in_one_order
keys-looked-up-before   found store   postgres::idempotency::a_key_raced_by_eight_tasks_gives_one_message
epoch-unchecked         found store   postgres::log::an_append_under_another_epoch_writes_nothing
ids-from-the-clock      found store   postgres::log::a_clock_that_goes_backwards_changes_nothing
epoch-unchecked         found store   dynamodb_local::log::an_append_under_another_epoch_writes_nothing
holes-unseen            found store   dynamodb_only::what_a_torn_query_shows_is_not_believed
unsure-not-looked       found store   dynamodb_lost::two_nodes_whose_answers_get_lost_lose_and_double_nothing
token-renewed           found store   dynamodb_lost::what_was_done_is_not_done_again_when_its_next_try_meets_a_conflict
roster-not-added-up     found faults  raging::a_nemesis_before_dynamodb_loses_and_doubles_nothing
code-reusable           found store   postgres::tokens::a_second_use_of_a_code_revokes_what_the_first_one_got
pkce-skipped            found store   postgres::tokens::a_wrong_challenge_ends_a_code
cursor-at-delivery      found api     inbox::what_is_not_acknowledged_comes_again
look-before-register    found api     inbox::what_is_sent_while_a_poll_begins_wakes_it
token-cached            found api     accounts::a_token_can_revoke_itself
removed-stays-parked    found api     members::a_removal_ends_all_access_and_open_polls
authorization-logged    found api     log::nothing_secret_is_ever_logged
origin-unchecked        found sign_in forms::forms_from_elsewhere_are_refused
state-uncompared        found sign_in with_github::a_state_works_once_and_in_its_browser_only
same-site-none          found sign_in with_github::a_person_signs_in_and_out
'

log=$(mktemp)
# What others run is the server without bugs: put it back where they look for it.
trap 'rm -f "$log"; cargo build --quiet --package meshwire-server --locked || true' EXIT

options=(--package meshwire-server --locked --features planted-bugs)
cargo test "${options[@]}" --no-run --test faults --test store --test api --test sign_in

# Runs a test with a bug; prints how it ended.
ends() {
    MESHWIRE_PLANTED_BUG=$1 cargo test "${options[@]}" --test "$2" -- --exact "$3" >"$log" 2>&1 || true
    sed -n 's/^test result: \(ok\|FAILED\)\. \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2 \3/p' "$log"
}

status=0 count=0
while read -r bug expected file test; do
    [[ -n $bug ]] || continue
    (($# == 0)) || [[ " $* " == *" $bug "* ]] || continue
    count=$((count + 1))
    outcome=$(ends "$bug" "$file" "$test")
    case $expected-$outcome in
        found-"FAILED 0 1") echo "found      $bug, by $test" ;;
        late-"ok 1 0") echo "no harm    $bug, in $test" ;;
        *)
            echo "NOT FOUND  $bug, by $file $test ($outcome), which was to be: $expected" >&2
            status=1
            ;;
    esac
done <<<"$bugs"
echo "$count bugs were planted."
exit "$status"
