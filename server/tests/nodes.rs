//! Several nodes on one store: whatever was answered by one of them is so on all.
//!
//! Each node is a real listening server with a store of its own, in one process. Each case is written once and
//! becomes a test for every engine that several nodes can share.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "nodes/cases.rs"]
mod cases;
#[path = "support/dynamodb.rs"]
mod dynamodb_tables;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "support/server.rs"]
mod server;

/// A case that waits for what never comes ends after this time.
const TOO_LONG: std::time::Duration = std::time::Duration::from_mins(5);

macro_rules! on {
    ($engine:ident, $place:expr; $($case:ident,)*) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let case = async { crate::cases::$case($place.await).await };
                    tokio::time::timeout(crate::TOO_LONG, Box::pin(case)).await.expect("the case ends");
                }
            )*
        }
    };
}

macro_rules! on_every_engine {
    ($($case:ident,)*) => {
        on! {
            postgres,
            async { meshwire_server::settings::Place::postgres(crate::postgres_server::schema().await) };
            $($case,)*
        }
        on! {
            dynamodb,
            async { meshwire_server::settings::Place::DynamoDb(crate::dynamodb_tables::table()) };
            $($case,)*
        }
    };
}

on_every_engine! {
    a_message_wakes_a_poll_on_another_node,
    a_broadcast_wakes_every_poll_on_every_node,
    readers_on_all_nodes_see_one_order,
    a_revoked_token_is_dead_on_every_node,
    who_was_removed_is_refused_on_every_node,
    a_retry_on_another_node_is_the_same_message,
    a_key_raced_on_two_nodes_gives_one_message,
    who_is_on_one_node_is_active_on_the_other,
    a_send_looks_who_is_on_other_nodes_and_a_poll_does_not,
    limits_that_can_be_counted_are_exact_on_two_nodes,
    a_paused_mesh_is_paused_on_every_node,
    a_cursor_moves_for_every_node,
    a_model_sees_each_message_once_whichever_nodes_its_calls_come_to,
    a_call_that_is_cancelled_over_another_node_swallows_nothing,
    the_set_up_link_of_each_node_is_good,
}
