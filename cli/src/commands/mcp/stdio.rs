//! The lines between us and the client, with what real clients do before the handshake.

use std::future::Future;
use std::io;
use std::sync::Arc;

use meshwire_protocol::tools::{Unreadable, read_message};
use rmcp::model::{ClientNotification, ClientRequest, ErrorCode, ErrorData, JsonRpcMessage};
use rmcp::service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncWriteExt as _, Stdin, Stdout};
use tokio::sync::Mutex;

use super::lines::{LONGEST, Line, Lines};
use super::outbox::Outbox;

/// Standard input and output.
pub(super) struct Stdio {
    input: Lines<Stdin>,
    output: Arc<Mutex<Stdout>>,
    /// Whether the client has asked to begin.
    begun: bool,
    outbox: Arc<Outbox>,
}

impl Stdio {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        let output = Arc::new(Mutex::new(tokio::io::stdout()));
        Self { input: Lines::new(tokio::io::stdin()), output, begun: false, outbox }
    }

    /// What a line says, if it goes on to the service.
    fn hear(&mut self, line: Line) -> Option<RxJsonRpcMessage<RoleServer>> {
        let read = match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => return None,
            Line::Whole(line) => read_message(&line),
            Line::TooLong => {
                let message = format!("a line has more than {LONGEST} bytes: send less at once");
                Err(Unreadable::unknown(ErrorData::parse_error(message, None)))
            }
        };
        match read {
            Ok(read) => self.passes(&read.message).then_some(read.message),
            Err(wrong) => {
                // Before the handshake it need not be a client of MCP that writes: only a message is answered.
                let is_message = wrong.error.code != ErrorCode::PARSE_ERROR;
                if wrong.is_answered && (self.begun || is_message) {
                    self.answer(&wrong);
                }
                None
            }
        }
    }

    /// Answers in the place of the service. Not awaited: who reads may be dropped at any await.
    fn answer(&self, wrong: &Unreadable) {
        let writing = write(Arc::clone(&self.output), wrong.answer().to_string());
        let under_way = self.outbox.begin();
        tokio::spawn(async move {
            // Who does not read it has gone, which the input tells.
            let _ = writing.await;
            drop(under_way);
        });
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
                    let id = Some(request.id.clone());
                    self.answer(&Unreadable { id, error, is_answered: true });
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

async fn write(output: Arc<Mutex<Stdout>>, mut line: String) -> io::Result<()> {
    line.push('\n');
    let mut output = output.lock().await;
    output.write_all(line.as_bytes()).await?;
    output.flush().await
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
        let (outbox, output) = (Arc::clone(&self.outbox), Arc::clone(&self.output));
        async move {
            write(output, serde_json::to_string(&message)?).await?;
            if let Some(id) = answered {
                outbox.written(&id).await;
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Ok(Some(line)) = self.input.next().await else {
                // What was asked for is still answered, but nobody is there to wait for more.
                self.outbox.close();
                return None;
            };
            if let Some(message) = self.hear(line) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        Ok(())
    }
}
