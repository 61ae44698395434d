//! The MCP server that offers the tools.

use std::borrow::Cow;
use std::sync::Arc;

use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListToolsResult,
    MetaObject, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Map, Value};

use super::calls::{self, Backend};
use super::definitions::{Definition, INSTRUCTIONS, definitions};

/// The tools over a way to reach a mesh.
#[derive(Debug, Clone)]
pub struct Tools<B> {
    backend: Arc<B>,
    versions: &'static [ProtocolVersion],
}

impl<B: Backend> Tools<B> {
    /// Offers them in these revisions of MCP.
    pub fn new(backend: Arc<B>, versions: &'static [ProtocolVersion]) -> Self {
        Self { backend, versions }
    }
}

impl<B: Backend> ServerHandler for Tools<B> {
    fn get_info(&self) -> ServerConfig {
        let mut me = Implementation::new("meshwire", env!("CARGO_PKG_VERSION"));
        me.title = Some("MeshWire".to_owned());
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(me)
            .with_instructions(INSTRUCTIONS)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.versions)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(definitions().into_iter().map(tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(name) = calls::known(&request.name) else {
            let names: Vec<_> = definitions().iter().map(Definition::full_name).collect();
            return Err(ErrorData::invalid_params(
                format!("there is no tool of this name; there are {}", names.join(", ")),
                None,
            ));
        };
        self.backend.note_call(&context.meta);
        let call = calls::call(&*self.backend, name, request.arguments, &context.id);
        match context.ct.run_until_cancelled(call).await {
            Some(result) => Ok(result.into()),
            // Nobody waits for this answer any more.
            None => Err(ErrorData::internal_error("the call was cancelled", None)),
        }
    }
}

fn tool(definition: Definition) -> Tool {
    let annotations = ToolAnnotations::with_title(definition.title)
        .read_only(definition.read_only)
        .destructive(false)
        .idempotent(definition.idempotent)
        // Others write what it answers, and read what it sends.
        .open_world(true);
    // Claude Code keeps tools out of the model's request until it searches for them, unless they say this.
    let mut meta = Map::new();
    meta.insert("anthropic/alwaysLoad".to_owned(), Value::Bool(true));
    Tool::new(definition.full_name(), definition.description, schema(definition.input))
        .with_title(definition.title)
        .with_raw_output_schema(schema(definition.output))
        .with_annotations(annotations)
        .with_meta(MetaObject(meta))
}

fn schema(schema: Value) -> Arc<Map<String, Value>> {
    match schema {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}
