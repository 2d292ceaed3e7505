//! A gateway-server in Rust: lines of growing files become events.
//!
//!     gateway-server-tail --listen 127.0.0.1:9380
//!
//! It implements gateway.v1.Eventing: the position of an event is the end of its line, so that nothing is missed or told twice,
//! whatever was down meanwhile.

mod tail;

mod pb {
    tonic::include_proto!("gateway.v1");
}

use pb::eventing_server::{Eventing, EventingServer};
use pb::{stream_request::Request as Asked, stream_response::Response as Said};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;
use tail::{Line, Position, Tail};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

const LOOK_EVERY: Duration = Duration::from_millis(100);
const BATCH_MAX: usize = 200;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Events that may wait for their acknowledgement.
const WINDOW: u64 = 1024;
const SCHEMA: &str = r#"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {
  "path": {"type": "string", "description": "the file to follow"},
  "contentType": {"type": "string", "default": "text/plain; charset=utf-8", "description": "media type of a line"}},
  "required": ["path"], "additionalProperties": false}"#;

#[derive(Default)]
struct Server {
    /// Streams by gateway, namespace and name. What is dropped ends its stream.
    streams: Mutex<HashMap<(String, String, String), oneshot::Sender<()>>>,
}

type Sender = mpsc::Sender<Result<pb::StreamResponse, Status>>;

#[tonic::async_trait]
impl Eventing for Server {
    async fn describe(&self, _: Request<pb::DescribeRequest>) -> Result<Response<pb::Description>, Status> {
        Ok(Response::new(pb::Description {
            r#type: "tail".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: SCHEMA.into(),
            summary: "lines of growing files become events".into(),
        }))
    }

    async fn validate(&self, source: Request<pb::EventSource>) -> Result<Response<pb::Validation>, Status> {
        let problems = match tail::parse(&source.get_ref().config) {
            Ok(_) => vec![],
            Err(message) => vec![pb::Problem { message, ..Default::default() }],
        };
        Ok(Response::new(pb::Validation { problems }))
    }

    type StreamStream = Pin<Box<dyn Stream<Item = Result<pb::StreamResponse, Status>> + Send>>;

    async fn stream(&self, requests: Request<Streaming<pb::StreamRequest>>) -> Result<Response<Self::StreamStream>, Status> {
        let mut requests = requests.into_inner();
        let Some(Asked::Start(start)) = requests.message().await?.and_then(|first| first.request) else {
            return Err(Status::invalid_argument("the first request must be start"));
        };
        let config = tail::parse(&start.config).map_err(Status::invalid_argument)?;
        let position = match (start.position.is_empty(), Position::parse(&start.position)) {
            (false, None) => return Err(Status::invalid_argument("the position is not one of ours: expected INODE:OFFSET")),
            (_, position) => position,
        };
        let replaced = self.replace((start.gateway, start.namespace, start.name));
        let (sender, receiver) = mpsc::channel(4);
        let (sent, acknowledged) = (watch::channel(0u64), watch::channel(0u64));
        tokio::spawn(async move {
            let ended = tokio::select! {
                fault = follow(config, position, sender.clone(), sent.0, acknowledged.1) => Some(fault),
                ended = read(requests, sent.1, acknowledged.0) => ended,
                _ = replaced => Some(Status::aborted("replaced by a newer stream of the same event source")),
            };
            if let Some(fault) = ended {
                let _ = sender.send(Err(fault)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Server {
    /// Ends the stream of that identity that is open, if one is; what it gives ends with the next one.
    fn replace(&self, identity: (String, String, String)) -> oneshot::Receiver<()> {
        let (end, ended) = oneshot::channel();
        self.streams.lock().unwrap().insert(identity, end); // an older one is dropped, which its stream sees
        ended
    }
}

/// Reads what the client says. None: it is through (half-close, or it went away), and so is the stream.
async fn read(mut requests: Streaming<pb::StreamRequest>, sent: watch::Receiver<u64>, acknowledge: watch::Sender<u64>) -> Option<Status> {
    loop {
        match requests.message().await {
            Ok(None) => return None,
            Err(fault) => return Some(fault),
            Ok(Some(request)) => match request.request {
                Some(Asked::Start(_)) => return Some(Status::invalid_argument("start was sent already")),
                Some(Asked::Acknowledged(acknowledgement)) if acknowledgement.sequence > *sent.borrow() => {
                    return Some(Status::invalid_argument("an event is acknowledged that was not sent"));
                }
                Some(Asked::Acknowledged(acknowledgement)) => {
                    acknowledge.send_if_modified(|durable| std::mem::replace(durable, acknowledgement.sequence.max(*durable)) < acknowledgement.sequence);
                }
                None => {} // what a newer client may mean
            },
        }
    }
}

/// Tells lines for ever; what it returns ended it.
async fn follow(
    config: tail::Config,
    position: Option<Position>,
    sender: Sender,
    sent: watch::Sender<u64>,
    mut acknowledged: watch::Receiver<u64>,
) -> Status {
    let unavailable = |fault: std::io::Error| Status::unavailable(format!("{}: {fault}", config.path.display()));
    let mut tail = match Tail::open(&config.path, position).await {
        Ok(tail) => tail,
        Err(fault) => return unavailable(fault),
    };
    let mut sequence = 0;
    if say(&sender, Said::Started(pb::Started {})).await.is_err() {
        return Status::cancelled("");
    }
    loop {
        let mut events = vec![];
        let mut bytes = 0;
        while events.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            match tail.next().await {
                Ok(Some(line)) => {
                    sequence += 1;
                    bytes += line.text.len();
                    events.push(event(&config, sequence, line));
                }
                Ok(None) => break,
                Err(fault) => return unavailable(fault),
            }
        }
        if events.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        sent.send_replace(sequence);
        if say(&sender, Said::Events(pb::Events { events })).await.is_err() {
            return Status::cancelled("");
        }
        // the window is full: the file waits
        if acknowledged.wait_for(|durable| sequence - durable < WINDOW).await.is_err() {
            return Status::cancelled("");
        }
    }
}

fn event(config: &tail::Config, sequence: u64, line: Line) -> pb::Event {
    pb::Event {
        sequence,
        id: line.start.to_string(),
        r#type: "example.tail.line".into(),
        data_content_type: config.content_type.clone(),
        data: line.text,
        position: line.end.to_string().into_bytes(),
        ..Default::default()
    }
}

async fn say(sender: &Sender, response: Said) -> Result<(), ()> {
    sender.send(Ok(pb::StreamResponse { response: Some(response) })).await.map_err(|_| ())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = match words.as_slice() {
        [] => "127.0.0.1:9380",
        [flag, address] if flag == "--listen" => address,
        _ => return Err("usage: gateway-server-tail [--listen ADDRESS]".into()),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {address}");
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<EventingServer<Server>>().await;
    let serving = tonic::transport::Server::builder()
        .add_service(health_service)
        .add_service(EventingServer::new(Server::default()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::select! {
        ended = serving => ended?,
        _ = terminate.recv() => {} // streams are cut: the client comes back with their positions
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
