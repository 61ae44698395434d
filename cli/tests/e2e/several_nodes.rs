//! Both programs, where several servers share one store: it does not matter to a user which of them answers, and when
//! one of them is killed or started again, commands and listeners come through by themselves.
//!
//! Each case is written once and becomes a test for every engine that several nodes can share.

mod balancer;
mod between;
mod ground;
mod harm;

use ground::Place;

macro_rules! on {
    ($engine:ident, $place:expr; $($file:ident { $($case:ident,)* })*) => {
        mod $engine {
            $($(
                #[test]
                fn $case() {
                    super::$file::$case(&$place);
                }
            )*)*
        }
    };
}

macro_rules! on_every_engine {
    ($($cases:tt)*) => {
        on! { dynamodb, super::Place::dynamodb(); $($cases)* }
        on! { postgres, super::Place::postgres(); $($cases)* }
    };
}

on_every_engine! {
    between {
        what_is_sent_over_one_node_is_received_over_the_other,
        a_token_that_is_revoked_over_one_node_ends_a_listener_on_the_other,
        who_is_removed_over_one_node_listens_no_longer_on_the_other,
        an_agent_that_is_removed_over_one_node_listens_no_longer_on_the_other,
    }
    harm {
        a_killed_node_costs_the_command_line_no_message,
        sixteen_senders_lose_and_double_nothing_when_a_node_is_killed_half_way,
        a_rolling_restart_fails_no_command_and_ends_no_listener,
    }
}
