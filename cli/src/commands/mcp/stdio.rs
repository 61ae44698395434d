//! The lines between us and the client, with what real clients do before the handshake.

use std::future::Future;
use std::io;
use std::sync::Arc;

use rmcp::model::{
    ClientNotification, ClientRequest, ErrorCode, ErrorData, JsonRpcMessage, ServerJsonRpcMessage,
};
use rmcp::service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{Stdin, Stdout};

use super::outbox::Outbox;

/// Standard input and output.
pub(super) struct Stdio {
    lines: AsyncRwTransport<RoleServer, Stdin, Stdout>,
    /// Whether the client has asked to begin.
    begun: bool,
    outbox: Arc<Outbox>,
}

impl Stdio {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let lines = AsyncRwTransport::new(tokio::io::stdin(), tokio::io::stdout());
        Self { lines, begun: false, outbox }
    }

    /// Whether a message goes on to the service, which ends at what it does not expect before the handshake.
    fn passes(&mut self, message: &RxJsonRpcMessage<RoleServer>) -> bool {
        match message {
            JsonRpcMessage::Request(request) => match &request.request {
                // Some clients ask for a revision without a handshake first. This is their sign to use one that
                // has it.
                ClientRequest::DiscoverRequest(_) => {
                    let error = ErrorData::new(
                        ErrorCode::METHOD_NOT_FOUND,
                        "server/discover is not known here: begin with initialize",
                        None,
                    );
                    let answer = ServerJsonRpcMessage::error(error, Some(request.id.clone()));
                    // Not awaited here: this may be dropped at any await.
                    tokio::spawn(self.lines.send(answer));
                    false
                }
                ClientRequest::InitializeRequest(_) => {
                    self.begun = true;
                    true
                }
                _ => true,
            },
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.outbox.cancel(id);
                }
                self.begun
            }
            _ => self.begun,
        }
    }
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            _ => None,
        };
        let outbox = Arc::clone(&self.outbox);
        let sending = self.lines.send(message);
        async move {
            sending.await?;
            if let Some(id) = answered {
                outbox.written(&id).await;
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let message = self.lines.receive().await?;
            if self.passes(&message) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.lines.close().await
    }
}
