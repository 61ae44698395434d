//! Schemas of single values for the OpenAPI document, made of the same limits as the checks.
//!
//! A type here holds no value: it stands for what a field or a parameter may be.

use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ObjectBuilder, RefBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{ArrayBuilder, OneOfBuilder, Ref, RefOr};
use utoipa::{Number, PartialSchema, ToSchema};

use crate::limits::{
    DEFAULT_INVITE_HOURS, DEFAULT_PAGE, MAX_AGENT_NAME, MAX_CAPABILITIES, MAX_CAPABILITY,
    MAX_CONTENT_BYTES, MAX_DESCRIPTION, MAX_HOST, MAX_IDEMPOTENCY_KEY, MAX_INVITE_HOURS,
    MAX_INVITE_USES, MAX_METADATA_BYTES, MAX_NAME, MAX_PAGE, MAX_TOKEN_DAYS, MAX_WAIT_SECONDS,
};
use crate::names::invisible_class;
use crate::{
    AgentId, CreateInvite, CreateToken, From, MeshId, MessageId, Scope, TokenId, UpdateMesh,
};

/// Letters, digits, dots, underscores and hyphens, as many as an agent's name may have.
const AGENT_NAME: &str = "[0-9A-Za-z][0-9A-Za-z._-]{0,63}";
/// A login of any GitHub, of a local account, or the label of one that lost its login.
const LOGIN: &str = "[0-9A-Za-z_~-]{1,64}";
const _: () = assert!(MAX_AGENT_NAME == 64 && MAX_NAME == 64, "the patterns above say 64");

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)+) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::from($schema.build()))
            }
        }

        impl ToSchema for $name {}
    )+ };
}

schemas! {
    /// The name of an agent.
    AgentName = text(1, MAX_AGENT_NAME)
        .pattern(Some(format!("^{AGENT_NAME}$")))
        .description(Some("Unique in the mesh, compared without regard to case; not `all`, the address of everyone."))
        .examples(["agent-a"]);

    /// The name of a mesh or of a token.
    Name = text(1, MAX_NAME)
        .pattern(Some(not_blank()))
        .description(Some("Printable characters, not only spaces."));

    /// Where a message goes.
    Address = text(1, MAX_NAME + 1)
        .pattern(Some(format!("^(?:@{LOGIN}|{AGENT_NAME})$")))
        .description(Some(
            "`all` (in any case), the id or the name of an agent (an id wins), or `@login` for a person. \
             `role:` and `room:` are kept for roles and rooms to come, and refused until then.",
        ))
        .examples(["agent-b"]);

    /// An agent of the caller's.
    OwnAgent = text(0, MAX_NAME + 1).description(Some("The id or the name of an agent of your own."));

    /// The text of a message.
    Content = text(1, MAX_CONTENT_BYTES)
        .pattern(Some("^[^\\u0000]+$"))
        .description(Some(format!("At most {MAX_CONTENT_BYTES} bytes of UTF-8, without U+0000.")))
        .examples(["hello"]);

    /// What a sender adds to a message.
    Metadata = ObjectBuilder::new()
        .property_names(Some(Schema::from(text(0, MAX_METADATA_BYTES).pattern(Some("^(?!reply_to$)")).build())))
        .description(Some(format!(
            "Any object of at most {MAX_METADATA_BYTES} bytes when written compactly. `reply_to` is set by the \
             server, from the field of that name.",
        )));

    /// Any object.
    AnyObject = ObjectBuilder::new();

    /// The computer of an agent.
    Host = printable(0, MAX_HOST).description(Some("Told to the agent's owner alone."));

    /// What an agent is there for.
    Description = printable(0, MAX_DESCRIPTION);

    /// What an agent can do.
    Capabilities = ArrayBuilder::new()
        .items(printable(1, MAX_CAPABILITY))
        .max_items(Some(MAX_CAPABILITIES));

    /// What a token may do.
    Scopes = ArrayBuilder::new().items(Ref::from_schema_name(Scope::name())).min_items(Some(1));

    /// The life of a token.
    TokenDays = number(1, MAX_TOKEN_DAYS).description(Some("In days; absent: as long as the asking token."));

    /// The life of an invite.
    InviteHours = number(1, MAX_INVITE_HOURS)
        .default(Some(DEFAULT_INVITE_HOURS.into()))
        .description(Some("In hours."));

    /// How many people an invite lets in.
    InviteUses = number(1, MAX_INVITE_USES)
        .default(Some(1.into()))
        .description(Some("How many people the link lets in; goes without `login`."));

    /// The login of a user.
    Login = text(1, MAX_NAME)
        .pattern(Some(format!("^{LOGIN}$")))
        .description(Some("Compared without regard to case."))
        .examples(["ada"]);

    /// The public id of an invite.
    InviteId = text(12, 12).pattern(Some("^[0-9A-Za-z]{12}$"));

    /// A field that goes without a value here.
    Null = ObjectBuilder::new().schema_type(Type::Null);

    /// Whether a mesh takes messages.
    Paused = ObjectBuilder::new().schema_type(Type::Boolean).description(Some("`true` refuses sends."));

    /// An agent in a path.
    AgentIdOrName = text(1, MAX_NAME + 1)
        .pattern(Some(format!("^(?:@{LOGIN}|{AGENT_NAME})$")))
        .description(Some("The id or the name of an agent (an id wins), or `@login` for a person's."))
        .examples(["agent-a"]);

    /// How long a poll waits.
    Wait = number(0, MAX_WAIT_SECONDS).default(Some(0.into())).description(Some("In seconds."));

    /// The size of a page.
    PageLimit = number(1, MAX_PAGE).default(Some(DEFAULT_PAGE.into()));

    /// What makes a send safe to repeat.
    IdempotencyKey = text(1, MAX_IDEMPOTENCY_KEY)
        .pattern(Some("^[!-~](?:[ -~]*[!-~])?$"))
        .description(Some("Printable ASCII, kept for 24 h for the sending agent in this mesh."));
}

fn text(shortest: usize, longest: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length((shortest > 0).then_some(shortest))
        .max_length(Some(longest))
}

/// A text that [`crate::check_printable`] lets pass.
fn printable(shortest: usize, longest: usize) -> ObjectBuilder {
    text(shortest, longest).pattern(Some(format!("^[^{}]*$", invisible_class())))
}

/// What [`crate::check_mesh_name`] lets pass, but for its length.
fn not_blank() -> String {
    let invisible = invisible_class();
    format!("^[^{invisible}]*[^\\s{invisible}][^{invisible}]*$")
}

fn number(least: impl Into<Number>, most: impl Into<Number>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least.into()))
        .maximum(Some(most.into()))
}

/// A body that takes some of its fields only together, or not together: one schema for each way.
macro_rules! either_schemas {
    ($($name:ident = $($way:literal { $($field:literal: $type:ident $need:ident, $about:literal;)+ })+;)+) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                AnyOfBuilder::new()$(.item(Ref::from_schema_name($way)))+.into()
            }
        }

        impl ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $(
                    let body = ObjectBuilder::new()
                        .schema_type(Type::Object)
                        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
                    $(let body = $need::<$type>(body, $field, $about);)+
                    $(
                        schemas.push(($type::name().into_owned(), $type::schema()));
                        $type::schemas(schemas);
                    )+
                    schemas.push(($way.to_owned(), body.into()));
                )+
            }
        }
    )+ };
}

fn required<T: ToSchema>(body: ObjectBuilder, field: &str, about: &str) -> ObjectBuilder {
    given::<T>(body, field, about).required(field)
}

fn given<T: ToSchema>(body: ObjectBuilder, field: &str, about: &str) -> ObjectBuilder {
    let value = RefBuilder::new().ref_location_from_schema_name(T::name()).description(Some(about));
    body.property(field, value)
}

/// `null` is as good as leaving it out.
fn optional<T: ToSchema>(body: ObjectBuilder, field: &str, about: &str) -> ObjectBuilder {
    let value = RefBuilder::new().ref_location_from_schema_name(T::name()).description(Some(about));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    body.property(field, OneOfBuilder::new().item(value.build()).item(null))
}

either_schemas! {
    CreateToken =
        "CreateWideToken" {
            "name": Name required, "What the token is for.";
            "mesh_id": MeshId optional, "Bind it to this mesh; absent: a token of the whole account.";
            "agent_id": Null given, "Needs `mesh_id`.";
            "scopes": Scopes optional, "What it may do; absent: what the asking token may.";
            "expires_in_days": TokenDays optional, "Days until it runs out; absent: as the asking token.";
        }
        "CreateAgentToken" {
            "name": Name required, "What the token is for.";
            "mesh_id": MeshId required, "The mesh of the agent.";
            "agent_id": AgentId required, "Bind it to this agent of yours.";
            "scopes": Scopes optional, "What it may do; absent: what the asking token may.";
            "expires_in_days": TokenDays optional, "Days until it runs out; absent: as the asking token.";
        };
    CreateInvite =
        "CreateLoginInvite" {
            "login": Login required, "Who is let in when they join.";
            "expires_in_hours": InviteHours optional, "Hours until it runs out.";
            "max_uses": Null given, "One person joins once.";
        }
        "CreateLinkInvite" {
            "login": Null given, "Whoever has the link is let in.";
            "expires_in_hours": InviteHours optional, "Hours until it runs out.";
            "max_uses": InviteUses optional, "How many people the link lets in.";
        };
    UpdateMesh =
        "RenameMesh" {
            "name": Name required, "The new name.";
            "paused": Paused optional, "Whether sends are refused for now.";
        }
        "PauseMesh" {
            "name": Name optional, "The new name.";
            "paused": Paused required, "Whether sends are refused for now.";
        };
}

macro_rules! id_schemas {
    ($($name:ident: $description:literal, $example:literal;)+) => { $(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text(Self::LENGTH, Self::LENGTH)
                    .pattern(Some(format!("^[0-9A-Za-z]{{{}}}$", Self::LENGTH)))
                    .description(Some($description))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $name {}
    )+ };
}

id_schemas! {
    MeshId: "The id of a mesh.", "kR9xQpLmW3aZ";
    AgentId: "The id of an agent.", "x7Kp2mQ9a";
    TokenId: "The public id of a token, never the secret.", "b4Yd8sWq1LzT";
}

impl PartialSchema for MessageId {
    fn schema() -> RefOr<Schema> {
        number(0, Self::MAX.get())
            .description(Some(
                "The id of a message, which is also its offset: microseconds since 1970, strictly increasing \
                 within the mesh. Fits in 53 bits.",
            ))
            .examples([1_748_123_456_789_000_i64])
            .into()
    }
}

impl ToSchema for MessageId {}

impl PartialSchema for From {
    fn schema() -> RefOr<Schema> {
        let words = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(["earliest", "latest"]));
        OneOfBuilder::new()
            .item(Ref::from_schema_name(MessageId::name()))
            .item(words)
            .description(Some(
                "A message id, `earliest` (the oldest kept) or `latest` (the newest).",
            ))
            .into()
    }
}

impl ToSchema for From {
    fn name() -> std::borrow::Cow<'static, str> {
        "Position".into()
    }
}
